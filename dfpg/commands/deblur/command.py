"""``dfpg deblur``: photographs in, restored photographs out."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from dfpg.commands.deblur.detection import CanvasDetector, find_faces
from dfpg.commands.deblur.framing import Pixels
from dfpg.commands.deblur.photographs import Photograph, encode, read_photograph
from dfpg.commands.deblur.plan import Job, plan
from dfpg.commands.deblur.restore import Restorer, restore_aligned, restore_faces
from dfpg.commands.deblur.shipped import CARD, WEIGHTS
from dfpg.commands.deblur.strip import aligned_strip, face_strip
from dfpg.core.device import select_device
from dfpg.core.errors import UserError, line_of, printable
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
    """

    weights: Path | None = None
    device: str | None = None
    aligned: bool = False
    copy: bool = False
    png: bool = False
    strip: bool = False
    force: bool = False


class RestoredPhotograph(NamedTuple):
    """A photograph's new pixels, its number of faces, and the strip, if there is one."""

    pixels: Pixels
    faces: int
    strip: Pixels


Restore = Callable[[Pixels], RestoredPhotograph | None]


@dataclass(frozen=True)
class Outcome:
    """What was done, as a sentence, and whether every photograph has its restored one now."""

    text: str
    complete: bool


def deblur(source: Path, out: Path, choices: Options) -> Outcome:
    """Restore the faces of a photograph, or of all photographs in a folder.

    A photograph that cannot be read, has no face, or needs more memory than there is, is named on
    stderr and does not stop the rest.

    Args:
        source: photograph or folder.
        out: folder; for one photograph also a file.
        choices: see :class:`Options`.

    Raises:
        UserError: no weights, no detector, no such device, nothing to do, or the disk is full.
    """
    todo = plan(source, out, choices.png, choices.strip)
    restorer = Restorer(weights_file(choices.weights), parse_device(choices.device))
    restore = _restore_aligned(restorer) if choices.aligned else _restore_detected(restorer)
    counts: Counter[str] = Counter()
    with Progress("deblur", len(todo.jobs), "picture") as progress:
        for job in todo.jobs:
            result = _restore(job, restore, choices)
            counts.update({result.kind: 1, "faces": result.faces})
            if result.line:
                progress.say(result.line)
            progress.advance()
    text = _summary(out, len(todo.jobs), counts, restorer, todo.remark)
    return Outcome(text, counts["restored"] + counts["copied"] == len(todo.jobs))


class Result(NamedTuple):
    """What became of one photograph: a key of ``OUTCOMES``, its faces, and a line for the user."""

    kind: str
    faces: int = 0
    line: str = ""


def _restore(job: Job, restore: Restore, choices: Options) -> Result:
    """Restore one photograph and write it.

    Raises:
        UserError: it cannot be written for a reason that will hold for the next one, too.
    """
    if not choices.force and any(path.exists() for path in job.written):
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
        reason = line_of(error)
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
    return Result("restored", restored.faces)


def _encode(job: Job, photograph: Photograph, restored: RestoredPhotograph | None) -> bytes:
    """The file to be written: the source's own bytes where nothing changes."""
    wanted = job.format or photograph.format
    if restored is not None:
        photograph = replace(photograph, pixels=restored.pixels)
    elif wanted == photograph.format:
        return job.source.read_bytes()
    return encode(photograph, wanted, job.target)


def _restore_aligned(restorer: Restorer) -> Restore:
    def restore(pixels: Pixels) -> RestoredPhotograph:
        after = restore_aligned(pixels, restorer)
        return RestoredPhotograph(after, 1, aligned_strip(pixels, after))

    return restore


def _restore_detected(restorer: Restorer) -> Restore:
    detector = CanvasDetector(asset_path("scrfd"))

    def restore(pixels: Pixels) -> RestoredPhotograph | None:
        faces = find_faces(pixels, detector)
        if not faces:
            return None
        after, frames = restore_faces(pixels, faces, restorer)
        return RestoredPhotograph(after, len(frames), face_strip(pixels, after, frames))

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
        f"{printable(out)}: {counts['restored']} of {total} photographs restored, "
        f"{counts['faces']} face{'s' * (counts['faces'] != 1)} ({how})"
    ]
    lines += [f"{counts[kind]} {text}" for kind, text in OUTCOMES.items() if counts[kind]]
    if remark:
        lines.append(remark)
    return "\n".join(lines)
