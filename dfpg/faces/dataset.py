"""Sharp faces by source and split. People are never shared between splits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dfpg.errors import UserError
from dfpg.files import read_image

Split = Literal["train", "val", "test"]
EMBEDDED = Path("data")
INDEX = "faces.csv"
LANDMARK_COLUMNS = tuple(f"{axis}{point}" for point in range(5) for axis in "xy")


@dataclass(frozen=True)
class FaceSet:
    """Sharp pictures of known people.

    Attributes:
        pictures: uint8 RGB [N, S, S, 3].
        people: name of the person in each picture.
        names: file name of each picture.
        landmarks: float32 [N, 5, 2] in px; as seen: left eye, right eye, nose, mouth corners.
    """

    pictures: NDArray[np.uint8]
    people: tuple[str, ...]
    names: tuple[str, ...]
    landmarks: NDArray[np.float32]


def read_index(folder: Path) -> pd.DataFrame:
    """Index of a folder of faces: file, person, split, score and landmark columns in px.

    Raises:
        UserError: there is no index, or it lacks a column.
    """
    path = folder / INDEX
    try:
        index = pd.read_csv(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; check out the project's data folder") from error
    missing = {"file", "person", "split", *LANDMARK_COLUMNS} - set(index.columns)
    if missing:
        raise UserError(f"{path}: no column {sorted(missing)[0]!r}; restore the file")
    return index


def load_folder(folder: Path, split: Split, size: int | None) -> FaceSet:
    """Faces of one split of a folder with an index, optionally reduced to ``size`` px (Lanczos)."""
    index = read_index(folder)
    rows = index[index["split"] == split].sort_values("file")
    pictures = [read_image(folder / "faces" / name) for name in rows["file"]]
    landmarks = rows[list(LANDMARK_COLUMNS)].to_numpy(np.float32).reshape(-1, 5, 2)
    if size is not None:
        scale = np.array([size / picture.shape[1] for picture in pictures], np.float32)
        landmarks = landmarks * scale[:, None, None]
        pictures = [_resize(picture, size) for picture in pictures]
    return FaceSet(np.stack(pictures), tuple(rows["person"]), tuple(rows["file"]), landmarks)


def _resize(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    image = Image.fromarray(picture).resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _embedded(split: Split, size: int | None) -> FaceSet:
    return load_folder(EMBEDDED, split, size)


SOURCES: dict[str, Callable[[Split, int | None], FaceSet]] = {"embedded": _embedded}


def check_source(source: str, where: str) -> None:
    """Refuse a face source that does not exist; ``where`` names the parameter that asks for it."""
    if source not in SOURCES:
        raise UserError(
            f"{where}: {source!r} is no face source that this version reads: "
            f"use {', '.join(sorted(SOURCES))}"
        )


def load_faces(source: str, split: Split, size: int | None = None) -> FaceSet:
    """Faces of one source and split, in a fixed order.

    Args:
        source: a key of ``SOURCES``.
        split: "train", "val" or "test".
        size: side in px to reduce the pictures to; None keeps the stored size.

    Raises:
        UserError: unknown source or split, or files are missing or damaged.
    """
    check_source(source, "face source")
    if split not in get_args(Split):
        raise UserError(f"split {split!r} is unknown: use train, val or test")
    return SOURCES[source](split, size)
