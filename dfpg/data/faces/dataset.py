"""Sharp faces by source and split. People are never shared between splits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from dfpg.core.config import Config, Framing
from dfpg.core.csv_files import from_csv
from dfpg.core.errors import UserError
from dfpg.core.files import read_image

Split = Literal["train", "val", "test"]
# Shares of a set that has no official split (assumed): the paper's test sets need 100 faces of a
# set that may have no more than 350.
SHARES: dict[Split, float] = {"train": 0.60, "val": 0.05, "test": 0.35}
EMBEDDED = "embedded"  # the source that the repository holds
FACES = Path("data")  # its folder
PREPARED = Path("artifacts") / "faces"
JOIN = "+"
INDEX = "faces.csv"
FRAMINGS = "framings.json"  # of a prepared source: the square of its pictures that each one shows
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


class Square(NamedTuple):
    """Part of a picture, in px."""

    left: int
    top: int
    side: int


def cut(pictures: NDArray[np.uint8], square: Square | None) -> NDArray[np.uint8]:
    """A square of pictures or label maps [N, S, S, ...], not copied; None: the whole of them."""
    if square is None:
        return pictures
    left, top, side = square
    return pictures[:, top : top + side, left : left + side]


def reframe(faces: FaceSet, square: Square | None) -> FaceSet:
    """The same faces, of which only a square is shown; None: as they are."""
    if square is None:
        return faces
    corner = np.array([square.left, square.top], np.float32)
    return replace(faces, pictures=cut(faces.pictures, square), landmarks=faces.landmarks - corner)


def read_index(folder: Path) -> pd.DataFrame:
    """Index of a folder of faces: file, person, split, score and landmark columns in px.

    Raises:
        UserError: there is no index, or it lacks a column.
    """
    path = folder / INDEX
    try:
        index = from_csv(pd.read_csv(path))
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: missing; check out data/, or run `dvc repro faces` for your own sources"
        ) from error
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: no index of faces as CSV; restore the file") from error
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


def load_prepared(folder: Path, split: Split) -> FaceSet:
    """Faces of one split that the stage ``faces`` prepared, read from the disk as they are used.

    The folder holds an index as :func:`read_index` takes it and ``train.npy``, ``val.npy`` and
    ``test.npy``: pictures uint8 [N, S, S, 3] in the order of the split's rows in the index.

    Raises:
        UserError: the stage has not run for this source, or a file is damaged.
    """
    rows = read_index(folder)
    rows = rows[rows["split"] == split]
    path = folder / f"{split}.npy"
    try:
        pictures = np.load(path, mmap_mode="c")
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: missing or damaged: run `dvc repro -f faces`") from error
    if len(pictures) != len(rows):
        raise UserError(
            f"{path}: {len(pictures)} pictures, but {len(rows)} in {INDEX}: "
            "run `dvc repro -f faces`"
        )
    landmarks = rows[list(LANDMARK_COLUMNS)].to_numpy(np.float32).reshape(-1, 5, 2)
    people, names = rows["person"].astype(str), rows["file"].astype(str)
    return FaceSet(pictures, tuple(people), tuple(names), landmarks)


def framing_square(source: str, framing: Framing, prepared: Path = PREPARED) -> Square | None:
    """What a framing shows of a source's stored pictures; None: all of them.

    Raises:
        UserError: the stage ``faces`` has not run for this source, or its file is damaged.
    """
    if source == EMBEDDED:
        return None
    path = prepared / source / FRAMINGS
    try:
        square = json.loads(path.read_text())[framing]
        return None if square is None else Square(*square)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: missing or damaged: run `dvc repro -f faces`") from error


def join_sets(parts: Mapping[str, FaceSet]) -> FaceSet:
    """Faces of several sources as one set; people and files are named ``source/name``.

    Raises:
        UserError: the sources' pictures differ in size.
    """
    sides = {name: part.pictures.shape[1] for name, part in parts.items()}
    if len(set(sides.values())) > 1:
        found = ", ".join(f"{name} {side} px" for name, side in sides.items())
        raise UserError(f"{JOIN.join(parts)}: pictures of different size cannot be joined: {found}")
    return FaceSet(
        np.concatenate([part.pictures for part in parts.values()]),
        tuple(f"{name}/{person}" for name, part in parts.items() for person in part.people),
        tuple(f"{name}/{file}" for name, part in parts.items() for file in part.names),
        np.concatenate([part.landmarks for part in parts.values()]),
    )


def check_source(config: Config, source: str, where: str) -> None:
    """Refuse a face source that is not there; ``where`` names the parameter that asks for it.

    Raises:
        UserError: a name is neither ``embedded`` nor under ``faces``, or no folder is given there.
    """
    for name in source.split(JOIN):
        if name == EMBEDDED:
            continue
        if name not in config.faces:
            known = ", ".join([EMBEDDED, *config.faces])
            raise UserError(f"{where}: {name!r} is no face source: use {known}")
        if config.faces[name].path is None:
            raise UserError(
                f"{where}: {name} needs your own copy: set faces.{name}.path to its folder"
            )


def load_faces(
    source: str, split: Split, framing: Framing | None = None, prepared: Path = PREPARED
) -> FaceSet:
    """Faces of one source and split, in a fixed order.

    Args:
        source: ``embedded``, a name under ``faces`` in params.yaml, or several joined by "+".
        split: "train", "val" or "test".
        framing: what is shown of a source's pictures; None: all that is stored.
        prepared: folder in which the stage ``faces`` keeps the other sources.

    Raises:
        UserError: unknown split, or files are missing or damaged.
    """
    if split not in get_args(Split):
        raise UserError(f"split {split!r} is unknown: use train, val or test")
    names = source.split(JOIN)
    if len(names) > 1:
        return join_sets({name: load_faces(name, split, framing, prepared) for name in names})
    if source == EMBEDDED:
        return load_folder(FACES, split, None)
    square = framing_square(source, framing, prepared) if framing else None
    return reframe(load_prepared(prepared / source, split), square)
