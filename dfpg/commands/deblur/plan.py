"""Which photograph is written where. Nothing is written into what is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dfpg.commands.deblur.photographs import writable_formats
from dfpg.commands.strips import STRIP, drop_strips
from dfpg.core.errors import UserError
from dfpg.core.listing import list_images

# Endings of image files that Pillow alone does not know.
FOREIGN = frozenset({".heic", ".heif", ".hif", ".jxl", ".dng", ".raw", ".cr2", ".cr3", ".nef"})


@dataclass(frozen=True)
class Job:
    """One photograph and its restored one.

    Attributes:
        source: file that is read.
        target: file that is written.
        format: its format, or None for that of the source.
        strip: file of the strip before | after, or None for none.
        inside: the photograph's path from the folder that is read.
    """

    source: Path
    target: Path
    format: str | None
    strip: Path | None
    inside: Path = Path()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """All files that the job writes."""
        return (self.target,) if self.strip is None else (self.target, self.strip)


@dataclass(frozen=True)
class Plan:
    """All photographs, and a line on what lies beside them and is passed over."""

    jobs: tuple[Job, ...]
    remark: str = ""


def plan(source: Path, out: Path, png: bool, strip: bool) -> Plan:
    """Jobs of a photograph or a folder; subfolders are kept.

    Args:
        source: file or folder.
        out: for a folder, a folder; for a file, a folder or the name of a picture.
        png: write PNG files whatever the photographs are.
        strip: write strips, too.

    Raises:
        UserError: nothing to read, or something that is read would be written.
    """
    remark = ""
    format: str | None = None
    ending = out.suffix.lower()
    if source.is_dir():
        if out.resolve().is_relative_to(source.resolve()):
            raise UserError(f"{out}: lies in the input {source}: name a folder outside of it")
        if out.is_file():
            raise UserError(f"{out}: a file, but {source} is a folder: name a folder")
        if _is_image(ending) and not out.is_dir():
            raise UserError(f"{out}: the name of an image, but {source} is a folder: name a folder")
        found, remark = drop_strips(list_images(source))
        pairs = [
            (source / name, out / name) for name in found.require_images("name another folder")
        ]
    elif source.exists():
        named = _is_image(ending) and not out.is_dir()
        pairs = [(source, out if named else out / source.name)]
        format = _format(out) if named else None
    else:
        raise UserError(f"{source}: no such file or folder")
    if png:
        pairs = [(here, there.with_suffix(".png")) for here, there in pairs]
        format = "PNG"
    root = source if source.is_dir() else source.parent
    jobs = [_job(*pair, format, strip, root) for pair in pairs]
    return Plan(_check_jobs(jobs), remark)


def _is_image(ending: str) -> bool:
    """Whether a name with this ending is meant as that of an image, and not of a folder."""
    return ending in Image.registered_extensions() or ending in FOREIGN


def _format(out: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UserError: it is not written, or this Pillow cannot.
    """
    formats = writable_formats()
    if out.suffix.lower() not in formats:
        raise UserError(f"{out}: {out.suffix} is not written: use one of {', '.join(formats)}")
    return formats[out.suffix.lower()]


def _job(source: Path, target: Path, format: str | None, strip: bool, root: Path) -> Job:
    beside = target.with_name(target.name + STRIP) if strip else None
    return Job(source, target, format, beside, source.relative_to(root))


def _check_jobs(jobs: list[Job]) -> tuple[Job, ...]:
    """The jobs, if none writes what another one reads or writes."""
    read = {job.source.resolve() for job in jobs}
    writers: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            if path.resolve() in read:
                raise UserError(f"{path}: is an input: name another place for what is written")
            other = writers.setdefault(path, job.source)
            if other != job.source:
                raise UserError(
                    f"{path}: {other} and {job.source} would both be written there: rename one"
                )
    return tuple(jobs)
