"""Which photograph is written where. Nothing is written into what is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfpg.commands.deblur.photographs import SUFFIXES
from dfpg.core.errors import UserError
from dfpg.core.files import IMAGE_FORMATS
from dfpg.data.faces.source import list_pictures

STRIP = ".strip.png"  # put to a photograph's name


@dataclass(frozen=True)
class Job:
    """One photograph and its restored one.

    Attributes:
        source: file that is read.
        target: file that is written.
        format: its format, or None for that of the source.
        strip: file of the strip before | after, or None for none.
    """

    source: Path
    target: Path
    format: str | None
    strip: Path | None

    @property
    def written(self) -> tuple[Path, ...]:
        """All files that the job writes."""
        return (self.target,) if self.strip is None else (self.target, self.strip)


@dataclass(frozen=True)
class Plan:
    """All photographs, and the endings of the files beside them that are none."""

    jobs: tuple[Job, ...]
    others: tuple[str, ...]


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
    others: list[str] = []
    format: str | None = None
    if source.is_dir():
        if out.resolve().is_relative_to(source.resolve()):
            raise UserError(f"{out}: lies in the input {source}: name a folder outside of it")
        if out.is_file():
            raise UserError(f"{out}: a file, but {source} is a folder: name a folder")
        pictures = [name for name in list_pictures(source) if _is_visible_file(source / name)]
        pairs = [(source / name, out / name) for name in pictures]
        others = _other_suffixes(source, set(pictures))
        if not pairs:
            raise UserError(f"{source}: no pictures of {', '.join(IMAGE_FORMATS)} in it")
    elif source.exists():
        named = out.suffix.lower() in SUFFIXES and not out.is_dir()
        pairs = [(source, out if named else out / source.name)]
        format = SUFFIXES[out.suffix.lower()] if named else None
    else:
        raise UserError(f"{source}: no such file or folder")
    if png:
        pairs = [(here, there.with_suffix(".png")) for here, there in pairs]
        format = "PNG"
    return Plan(_check_jobs([_job(*pair, format, strip) for pair in pairs]), tuple(others))


def _is_visible_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _other_suffixes(folder: Path, pictures: set[str]) -> list[str]:
    """Endings of the files below a folder that are no pictures; hidden ones are passed over."""
    return [
        path.suffix.lower() or "without an ending"
        for path in folder.rglob("*")
        if _is_visible_file(path) and path.relative_to(folder).as_posix() not in pictures
    ]


def _job(source: Path, target: Path, format: str | None, strip: bool) -> Job:
    return Job(source, target, format, target.with_name(target.name + STRIP) if strip else None)


def _check_jobs(jobs: list[Job]) -> tuple[Job, ...]:
    """The jobs, if none writes what another one reads or writes."""
    read = {job.source.resolve() for job in jobs}
    writers: dict[Path, Path] = {}
    for job in jobs:
        for path in job.written:
            if path.resolve() in read:
                raise UserError(f"{path}: is an input: name another place for what is written")
            other = writers.setdefault(path, job.source)
            if other != job.source:
                raise UserError(
                    f"{path}: {other} and {job.source} would both be written there: rename one"
                )
    return tuple(jobs)


def count_suffixes(others: tuple[str, ...]) -> Iterator[str]:
    """Each ending of the files that are no photographs, and how many there are of it."""
    for ending in sorted(set(others)):
        yield f"{others.count(ending)} {ending}"
