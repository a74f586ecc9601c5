"""What every set of photographs offers: an index, a split, and its faces in one framing."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.core.listing import Listing, list_images, normalise_name
from dfpg.data.faces.dataset import SHARES, Split, Square

SPLITS: tuple[Split, ...] = get_args(Split)
TOGETHER = 5  # pictures of a person that are chosen together
HELD_OUT = 3000  # pictures that are kept of each of val and test, at most
CLOSE_SIDE = 146  # px: the crop of 128 px has the share 0.8767, as 448 has of 512 px
WIDE_SIDE = 256  # px of an FFHQ-like framing; reasons in docs/bring_your_data.md


class FramedFace(NamedTuple):
    """A face in its set's framing: RGB uint8 [S, S, 3], and five landmarks [5, 2] in px."""

    picture: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


class Source(ABC):
    """A set of photographs in the layout in which its owners distribute it.

    Attributes:
        title, origin, terms: what the set is, where it comes from, and on which terms.
        side: px of the framed pictures.
        close: what the close framing shows of them; None: the set has one framing.
        identities: whether ``person`` names people; else every photograph counts as a person.
        detects: whether framing runs the face detector.
        masks: whether there are parsing masks.
        index: file (path below ``pictures``), person and split, sorted by file.
        rule: how the set was split.
        size: number of pictures of the whole set where that is known; fewer are allowed.
        remark: what lies among the pictures and was passed over, or is not there; may be empty.
    """

    title: ClassVar[str]
    origin: ClassVar[str]
    terms: ClassVar[str]
    side: ClassVar[int]
    close: ClassVar[Square | None] = None
    size: ClassVar[int | None] = None
    identities: bool = False
    detects: ClassVar[bool] = False
    masks: bool = False
    index: pd.DataFrame
    rule: str
    pictures: Path
    remark: str = ""

    @abstractmethod
    def __init__(self, root: Path) -> None:
        """List the pictures below ``root``; raises UserError where the set is not as released."""

    @abstractmethod
    def frame(self, file: str) -> FramedFace | str:
        """The face of a picture, or in two or three words why it has none that can be used.

        Raises:
            UserError: the picture is damaged, or not of the size that the set has.
        """

    def labels(self, file: str) -> NDArray[np.uint8]:
        """Parsing map [S, S] of ``dfpg.pretrained.parsing.CLASSES``; where ``masks`` is true."""
        raise NotImplementedError


def locate(root: Path, title: str, origin: str, *names: str) -> Path:
    """The first of several places below ``root`` that exists.

    Raises:
        UserError: none of them does; says where they are if that is a folder too deep or too high,
            and else where the set comes from.
    """
    for name in names:
        if (root / name).exists():
            return root / name
    near = [*sorted(path for path in root.glob("*") if path.is_dir()), root.resolve().parent]
    for folder in near:
        if any((folder / name).exists() for name in names):
            raise UserError(f"{root}: no {' or '.join(names)}, but in {folder}: give that folder")
    raise UserError(f"{root}: no {' or '.join(names)}: give the folder of {title} ({origin})")


def list_pictures(folder: Path, people: bool = False) -> Listing:
    """Pictures at any depth below a folder, where archives often unpack one folder too deep.

    Args:
        folder: where nothing lies but one folder of the same name, that one is listed.
        people: its folders are people: where nothing lies in it but one folder of folders, that one
            is listed.

    Raises:
        UserError: the folder cannot be read, or a picture's name is not UTF-8.
    """
    found = list_images(folder)
    while len(found.folders) == 1 and all("/" in file for file in found.images):
        (inner,) = found.folders
        of_folders = people and all(file.count("/") > 1 for file in found.images)
        if not found.images or not (of_folders or inner == found.folder.name):
            break
        found = list_images(found.folder / inner)
    for file in found.images:
        try:
            file.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{found.folder / file}: its name is not UTF-8: rename it") from error
    return found


def read_lines(path: Path) -> list[str]:
    """Lines of a list, whatever system it was written on; empty ones are skipped.

    Raises:
        UserError: it cannot be read as UTF-8 text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text: replace the file") from error
    return [line for line in lines if line.strip()]


def read_columns(path: Path, header: int = 0) -> dict[str, list[str]]:
    """Rows of a table that is separated by blanks, by their first word."""
    rows = (line.split() for line in read_lines(path)[header:])
    return {row[0]: row[1:] for row in rows}


def hashed_split(name: str) -> Split:
    """Split of a person (or file) of a set without an official one: SHA-256 of the name.

    It does not depend on which other pictures are at hand, nor on how the file system writes é.
    """
    place = int(hashlib.sha256(normalise_name(name).encode()).hexdigest()[:16], 16) / 16**16
    if place < SHARES["train"]:
        return "train"
    return "val" if place < SHARES["train"] + SHARES["val"] else "test"


def make_index(
    files: Iterable[str], people: Iterable[str], splits: Iterable[Split]
) -> pd.DataFrame:
    """Index of a source, sorted by file."""
    index = pd.DataFrame({"file": list(files), "person": list(people), "split": list(splits)})
    return _sort_by_file(index)


def _sort_by_file(index: pd.DataFrame) -> pd.DataFrame:
    """Sorted by file, the same however the file system writes é."""
    order = index["file"].map(normalise_name).argsort(kind="stable")
    return index.iloc[order].reset_index(drop=True)


def choose(index: pd.DataFrame, train: int | None) -> pd.DataFrame:
    """Rows that are kept: at most ``train`` of the training split, ``HELD_OUT`` of the others.

    People come in the order of their names' hashes, each with up to five pictures at a time, so
    that a part of a set still has people with several pictures.
    """

    def digest(names: pd.Series) -> pd.Series:
        return names.map(
            lambda name: hashlib.sha256(normalise_name(str(name)).encode()).hexdigest()
        )

    rows = index.assign(person_hash=digest(index["person"]), file_hash=digest(index["file"]))
    rows = rows.sort_values(["person_hash", "file_hash"])
    rows["turn"] = rows.groupby("person").cumcount() // TOGETHER
    rows = rows.sort_values(["turn", "person_hash", "file_hash"])
    place = rows.groupby("split").cumcount()
    limit = rows["split"].map({"train": len(rows) if train is None else train})
    kept = rows[place < limit.fillna(HELD_OUT)]
    return _sort_by_file(kept[list(index.columns)])


def reduce(
    picture: NDArray[np.uint8], side: int, box: tuple[float, float, float, float] | None = None
) -> NDArray[np.uint8]:
    """A square (x0, y0, x1, y1; None: all) of a picture at ``side`` px, by Lanczos' filter."""
    image = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS, box)
    return np.asarray(image)
