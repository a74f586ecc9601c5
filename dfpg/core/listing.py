"""The images of a folder, and the same names however a file system writes their letters."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from dfpg.core.errors import UserError, escape_text, file_error
from dfpg.core.files import IMAGE_FORMATS, SUFFIXES

FEW = 5  # files that are named one by one
# What systems leave in folders beside what is hidden by a dot, in small letters: Windows,
# Synology and QNAP servers, macOS' archives.
LEFTOVERS = frozenset(
    {
        "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
        "@eadir", "#recycle", "@recycle", ".@__thumb", "@__thumb", "__macosx", "icon\r",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """What a folder holds; paths are relative to it, with ``/``, and sorted.

    Attributes:
        folder: the folder.
        images: files whose ending is that of an image.
        others: other files, and links that lead nowhere.
        folders: folders directly in it.
        skipped: number of hidden files and folders and of those that systems leave behind; a
            folder counts once, and what is in it is not looked at.
    """

    folder: Path
    images: tuple[str, ...]
    others: tuple[str, ...]
    folders: tuple[str, ...]
    skipped: int

    def describe_skipped(self) -> str:
        """What was passed over, as one line; empty if nothing was."""
        parts = []
        if self.others:
            parts.append(f"other files, not read: {describe_names(self.others)}")
        if self.skipped:
            parts.append(f"skipped: {self.skipped} hidden or left by the system")
        return "; ".join(parts)

    def require_images(self, what: str) -> tuple[str, ...]:
        """The images, one at least.

        Args:
            what: is wanted, in a few words.

        Raises:
            UserError: there are none; says what there is instead.
        """
        if self.images:
            return self.images
        remark = f" ({self.describe_skipped()})" if self.describe_skipped() else ""
        formats = ", ".join(IMAGE_FORMATS)
        raise UserError(f"{self.folder}: no images of {formats} in it: {what}{remark}")


def is_leftover(name: str) -> bool:
    """Whether a file or folder is hidden, or one of those that systems leave behind."""
    return name.startswith(".") or name.lower() in LEFTOVERS


def list_images(folder: Path, deep: bool = True) -> Listing:
    """List a folder.

    Links to folders are followed, but not into a folder that they lie in.

    Args:
        folder: is listed.
        deep: also what lies in its folders, at any depth.

    Raises:
        UserError: a folder is missing or cannot be read.
    """
    images: list[str] = []
    others: list[str] = []
    folders: list[str] = []
    skipped = 0
    todo: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while todo:
        prefix, above = todo.pop()
        for name, is_folder, is_file in _entries(folder / prefix):
            path = prefix + name
            if is_leftover(name):
                skipped += 1
            elif is_folder:
                if not prefix:
                    folders.append(path)
                real = os.path.realpath(folder / path)
                if deep and real not in above:
                    todo.append((f"{path}/", (*above, real)))
            elif is_file and PurePath(name).suffix.lower() in SUFFIXES:
                images.append(path)
            else:
                others.append(path)
    return Listing(
        folder, tuple(sorted(images)), tuple(sorted(others)), tuple(sorted(folders)), skipped
    )


def _entries(folder: Path) -> Iterator[tuple[str, bool, bool]]:
    """Name of each entry of a folder, and whether it is a folder or a file behind any link."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name, _holds(entry.is_dir), _holds(entry.is_file)
    except FileNotFoundError as error:
        raise UserError(f"{folder}: no such folder") from error
    except OSError as error:
        raise file_error(folder, "list", error) from error


def _holds(test: Callable[[], bool]) -> bool:
    """What the test says; False behind a link that cannot be followed."""
    try:
        return test()
    except OSError:
        return False


def describe_names(files: Sequence[str]) -> str:
    """Files by their names where they are few, else how many have each ending (``12 .txt``)."""
    if len(files) <= FEW:
        return ", ".join(escape_text(file) for file in files)
    counts = Counter(PurePath(file).suffix.lower() or "without an ending" for file in files)
    return ", ".join(f"{count} {escape_text(ending)}" for ending, count in sorted(counts.items()))


def normalise_name(name: str) -> str:
    """A name in Unicode's composed form (NFC): macOS writes ``é`` as two characters."""
    return unicodedata.normalize("NFC", name)
