"""What every method's images are compared with: reference embeddings, points of the sharp faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import NDArray

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write, read_image
from dfpg.data.faces.dataset import FaceSet
from dfpg.evaluation.recognition.pairs import (
    Pair,
    draw_pairs,
    read_pairs,
    read_published,
    write_pairs,
)
from dfpg.paper.tables import RECOGNITION

if TYPE_CHECKING:
    from dfpg.data.testsets import TestSet
    from dfpg.pretrained.detector import FaceDetector
    from dfpg.pretrained.embedder import FaceEmbedder

PAIRS, VECTORS, EMBEDDER_CARD = "pairs.csv", "references.safetensors", "embedder.json"
FIELDS = ("positive", "negative", "landmarks")  # of VECTORS
CELEBA_CROP = (slice(68, 196), slice(25, 153))  # of the aligned 178 x 218 picture, Shen's crop


@dataclass(frozen=True)
class References:
    """Shared by all methods.

    Attributes:
        pairs: the list.
        positive, negative: unit embeddings of the reference pictures, float32 [P, D].
        landmarks: float32 [F, 5, 2] in px of the test set's sharp faces, by row of ``sharp``; NaN
            where SCRFD finds no face, or the face is none of Table 3's.
    """

    pairs: tuple[Pair, ...]
    positive: NDArray[np.float32]
    negative: NDArray[np.float32]
    landmarks: NDArray[np.float32]


def table3_rows(index: pd.DataFrame) -> pd.DataFrame:
    """Rows of a test set's index (or of a batch of it) that belong to Table 3's test set."""
    return index[(index["subset"] == RECOGNITION.subset) & (index["mode"] == RECOGNITION.mode)]


def build_references(
    config: Config,
    testset: TestSet,
    faces: FaceSet | None,
    detector: FaceDetector,
    embedder: FaceEmbedder,
    out: Path,
) -> None:
    """Choose the pairs, embed the reference pictures, find the sharp faces; write both files.

    Args:
        config: ``seed`` and ``recognition``.
        testset: of protocol A.
        faces: the source's test people; None where the profile has no such slot.
        detector: SCRFD.
        embedder: the verification network.
        out: folder for ``pairs.csv`` and ``references.safetensors``.

    Raises:
        UserError: published pairs are asked for, and a list or a picture is missing.
    """
    rows = table3_rows(testset.index)
    pairs = _pairs(config, rows, faces)
    landmarks = np.full((len(testset.sharp), 5, 2), np.nan, np.float32)
    for row in rows["sharp"].unique().tolist():
        found = detector(testset.sharp[row])
        if found:
            landmarks[row] = found[0].landmarks
    pictures = _Pictures(config, faces)
    vectors = {
        kind: np.stack(
            [_embed(pictures, name, detector, embedder) for name in names]
            or [np.zeros(1, np.float32)]
        )
        for kind, names in (
            ("positive", [pair.positive for pair in pairs]),
            ("negative", [pair.negative for pair in pairs]),
        )
    }
    write_pairs(pairs, out / PAIRS)
    with atomic_write(out / VECTORS) as stream:
        stream.write(safetensors.numpy.save(vectors | {"landmarks": landmarks}))


def load_references(folder: Path) -> References:
    """Read what :func:`build_references` wrote.

    Raises:
        UserError: missing or damaged.
    """
    pairs = read_pairs(folder / PAIRS)
    try:
        arrays = safetensors.numpy.load_file(folder / VECTORS)
        found = References(tuple(pairs), *(arrays[name] for name in FIELDS))
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{folder / VECTORS}: missing or damaged; run `dfpg evaluate baselines`"
        ) from error
    if pairs and not len(pairs) == len(found.positive) == len(found.negative):
        raise UserError(
            f"{folder / PAIRS}: {len(pairs)} pairs, but {len(found.positive)} and "
            f"{len(found.negative)} vectors in {VECTORS}; run `dfpg evaluate baselines`"
        )
    return found


class _Pictures:
    """Reference pictures by name, with the points to fall back on where SCRFD finds no face."""

    def __init__(self, config: Config, faces: FaceSet | None) -> None:
        published = config.recognition.published_pairs
        self._folder = Path(published.pictures) if published else None
        self._faces = faces
        self._row = {name: row for row, name in enumerate(faces.names)} if faces else {}

    def __getitem__(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        if self._folder is not None:
            picture = read_image(self._folder / name)[CELEBA_CROP]
            return picture, None
        assert self._faces is not None
        row = self._row[name]
        return self._faces.pictures[row], self._faces.landmarks[row]


def _pairs(config: Config, rows: pd.DataFrame, faces: FaceSet | None) -> Sequence[Pair]:
    probes = rows[["person", "face"]].drop_duplicates()
    published = config.recognition.published_pairs
    if published is not None:
        named = [(str(person), str(face)) for person, face in probes.to_numpy().tolist()]
        return read_published(Path(published.lists), named)
    return draw_pairs(faces, probes["face"].tolist(), config.seed) if faces else []


def _embed(
    pictures: _Pictures, name: str, detector: FaceDetector, embedder: FaceEmbedder
) -> NDArray[np.float32]:
    picture, known = pictures[name]
    found = detector(picture)
    points = found[0].landmarks if found else known
    if points is None or np.isnan(points).any():
        raise UserError(f"{name}: no face found in this reference picture: check the file")
    return embedder(picture, points)
