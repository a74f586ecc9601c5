"""``dfpg deblur``: photographs in, restored photographs out."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from dfpg.commands.deblur.detection import CanvasDetector, find_faces, nearest_to_centre
from dfpg.commands.deblur.framing import Pixels, crop
from dfpg.commands.deblur.photographs import Photograph, encode, read_photograph
from dfpg.commands.deblur.plan import Job, plan
from dfpg.commands.deblur.restore import Restorer, restore_aligned, restore_faces
from dfpg.commands.deblur.shipped import CARD, WEIGHTS
from dfpg.commands.deblur.strip import aligned_strip, face_strip
from dfpg.core.device import select_device
from dfpg.core.errors import UserError, error_line, escape_text
from dfpg.core.files import atomic_write, read_json, sha256, write_image
from dfpg.core.progress import Progress
from dfpg.pretrained.assets.store import asset_path

OUTCOMES = {  # what may become of a photograph other than being restored
    "copied": "without a face, written as they are",
    "no face": "without a face, not written (--copy writes them as they are)",
    "failed": "could not be read or written, see above",
    "there": "left: a file of that name is there (--force overwrites it)",
}
DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Options:
    """What the user asks for.

    Attributes:
        weights: file of a trained run, or None for the model that ships.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``, or None for the fastest at hand.
        aligned: the pictures are faces in the framing of training: restore each as a whole.
        copy: write photographs without a face, too, as they are.
        png: write PNG files.
        strip: write a strip before | after beside every restored photograph.
        force: overwrite what is there.
        only_center: of each photograph, restore only the face nearest to its middle.
        crops: folder for every face, before and after; None for none.
        strength: share of the change that is made, 0 to 1.
        check: leave faces as they are that the shipped model hardly changes; for it alone, and
            not with ``aligned``.
    """

    weights: Path | None = None
    device: str | None = None
    aligned: bool = False
    copy: bool = False
    png: bool = False
    strip: bool = False
    force: bool = False
    only_center: bool = False
    crops: Path | None = None
    strength: float = 1.0
    check: bool = True

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UserError: a strength out of range, or options of found faces with ``aligned``.
        """
        if not 0 <= self.strength <= 1:
            raise UserError(f"--strength {self.strength}: give a share from 0 to 1")
        if self.aligned and (self.only_center or self.crops is not None):
            raise UserError("--aligned finds no faces: leave --only-center and --save-crops out")


class RestoredPhotograph(NamedTuple):
    """A photograph's new pixels, its faces, the strip, the crops, and how many faces were left.

    ``crops`` are each face before and after, upright, at its own resolution.
    """

    pixels: Pixels
    faces: int
    strip: Pixels
    crops: Sequence[tuple[Pixels, Pixels]] = ()
    left: int = 0


Restore = Callable[[Pixels], RestoredPhotograph | None]


@dataclass(frozen=True)
class Outcome:
    """What was done, as a sentence, and whether every photograph has its restored one now."""

    text: str
    complete: bool


def deblur(source: Path, out: Path, choices: Options) -> Outcome:
    """Restore the faces of a photograph, or of all photographs in a folder.

    A photograph that cannot be read, has no face, has one that is left as it was, or needs more
    memory than there is, is named on stderr and does not stop the rest.

    Args:
        source: photograph or folder.
        out: folder; for one photograph also a file.
        choices: see :class:`Options`.

    Raises:
        UserError: no weights, no detector, no such device, nothing to do, or the disk is full.
    """
    todo = plan(source, out, choices.png, choices.strip)
    if choices.crops is not None:
        _check_crops(source, choices.crops, choices.force)
    restorer = Restorer(weights_file(choices.weights), parse_device(choices.device))
    make = _restore_aligned if choices.aligned else _restore_detected
    restore = make(restorer, choices)
    counts: Counter[str] = Counter()
    with Progress("deblur", len(todo.jobs), "picture") as progress:
        for job in todo.jobs:
            result = _restore(job, restore, choices)
            counts.update({result.kind: 1, "faces": result.faces, "left": result.left})
            if result.line:
                progress.say(result.line)
            progress.advance()
    text = _summary(out, len(todo.jobs), counts, restorer, todo.remark)
    return Outcome(text, counts["restored"] + counts["copied"] == len(todo.jobs))


class Result(NamedTuple):
    """What became of one photograph: a key of ``OUTCOMES``, its faces, and a line for the user.

    ``left`` of the faces are as they were.
    """

    kind: str
    faces: int = 0
    line: str = ""
    left: int = 0


def _restore(job: Job, restore: Restore, choices: Options) -> Result:
    """Restore one photograph and write it.

    Raises:
        UserError: it cannot be written for a reason that will hold for the next one, too.
    """
    if not choices.force and any(path.exists() for path in job.outputs):
        return Result("there")
    try:
        photograph = read_photograph(job.source)
        restored = restore(photograph.pixels)
        if restored is None and not choices.copy:
            return Result("no face", line=f"{job.source}: no face found")
        data = _encode(job, photograph, restored)
    except UserError as error:
        line = str(error)
        return Result("failed", line=line if str(job.source) in line else f"{job.source}: {line}")
    except Exception as error:
        reason = error_line(error)
        if reason is None:
            raise
        return Result("failed", line=f"{job.source}: {reason}")
    mode = stat.S_IMODE(job.source.stat().st_mode)  # a private photograph stays private
    with atomic_write(job.target, mode) as stream:
        stream.write(data)
    if restored is None:
        return Result("copied")
    if job.strip is not None:
        write_image(job.strip, restored.strip, mode)
    if choices.crops is not None:
        _write_crops(choices.crops, job, restored, mode)
    line = ""
    if restored.left:
        whole = restored.left == restored.faces
        some = f"{restored.left} of {restored.faces} faces left as they were"
        line = f"{job.source}: {'left as it was' if whole else some}"
    return Result("restored", restored.faces, line, restored.left)


def _check_crops(source: Path, folder: Path, force: bool) -> None:
    """Refuse a folder of crops that would mix with photographs or with other crops.

    Raises:
        UserError: it is a file, lies in the input, or holds something and ``force`` is not given.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--save-crops {folder}: a file: name a folder")
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--save-crops {folder}: lies in the input {source}: name another folder")
    if folder.is_dir() and not force and any(folder.iterdir()):
        raise UserError(f"--save-crops {folder}: is not empty: name another, or give --force")


def _write_crops(folder: Path, job: Job, restored: RestoredPhotograph, mode: int) -> None:
    """Every face before and after, the largest first; the folders of the photographs are kept.

    Raises:
        UserError: a file cannot be written.
    """
    for number, pair in enumerate(restored.crops, 1):
        for when, face in zip(("before", "after"), pair, strict=True):
            write_image(folder / f"{job.inside}.face{number}.{when}.png", face, mode)


def _encode(job: Job, photograph: Photograph, restored: RestoredPhotograph | None) -> bytes:
    """The file to be written: the source's own bytes where nothing changes."""
    wanted = job.format or photograph.format
    if restored is not None:
        photograph = replace(photograph, pixels=restored.pixels)
    elif wanted == photograph.format:
        return job.source.read_bytes()
    return encode(photograph, wanted, job.target)


def _restore_aligned(restorer: Restorer, choices: Options) -> Restore:
    def restore(pixels: Pixels) -> RestoredPhotograph:
        after = restore_aligned(pixels, restorer, choices.strength)
        return RestoredPhotograph(after, 1, aligned_strip(pixels, after))

    return restore


def _restore_detected(restorer: Restorer, choices: Options) -> Restore:
    detector = CanvasDetector(asset_path("scrfd"))
    check = choices.check and choices.weights in (None, WEIGHTS)  # the limit is that model's

    def restore(pixels: Pixels) -> RestoredPhotograph | None:
        faces = find_faces(pixels, detector)
        if choices.only_center:
            faces = nearest_to_centre(faces, *pixels.shape[:2])
        if not faces:
            return None
        after, frames, left = restore_faces(pixels, faces, restorer, choices.strength, check)
        crops = []
        if choices.crops is not None:
            sides = [max(1, round(frame.side)) for frame in frames]
            crops = [
                (crop(pixels, frame, side), crop(after, frame, side))
                for frame, side in zip(frames, sides, strict=True)
            ]
        strip = face_strip(pixels, after, frames)
        return RestoredPhotograph(after, len(frames), strip, crops, sum(left))

    return restore


def weights_file(own: Path | None) -> Path:
    """The user's weights, or those that ship.

    Raises:
        UserError: none are named, and those that ship are gone or not those on their card.
    """
    if own is not None:
        return own
    try:
        whole = read_json(CARD)["sha256"] == sha256(WEIGHTS)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(
            f"{WEIGHTS}: missing or damaged: install the package again, or name a run's weights: "
            "--weights artifacts/weights/dfpg_b.safetensors"
        )
    return WEIGHTS


def parse_device(name: str | None) -> torch.device:
    """Device to restore on.

    Raises:
        UserError: there is no such device, or it does not work.
    """
    if name is None:
        return select_device()
    if name.partition(":")[0] not in DEVICES:
        raise UserError(f"--device {name}: unknown: use cpu, cuda, cuda:N or mps")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {name}: not usable here ({reason}): use cpu") from error
    return device


def _summary(out: Path, total: int, counts: Counter[str], restorer: Restorer, remark: str) -> str:
    how = f"{restorer.name} at {restorer.size} px, {restorer.device.type}"
    lines = [
        f"{escape_text(out)}: {counts['restored']} of {total} photographs restored, "
        f"{counts['faces']} face{'s' * (counts['faces'] != 1)} found ({how})"
    ]
    lines += [f"{counts[kind]} {text}" for kind, text in OUTCOMES.items() if counts[kind]]
    if counts["left"]:
        lines.append(
            f"{counts['left']} of the faces left as they were: the model would hardly change "
            "them, as it would a sharp face (--no-check restores them, too)"
        )
    if remark:
        lines.append(remark)
    return "\n".join(lines)
