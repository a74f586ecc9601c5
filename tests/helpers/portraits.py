"""Photographs with generated faces at known places."""

from __future__ import annotations

from functools import cache

import numpy as np
from helpers.places import ROOT
from numpy.typing import NDArray
from PIL import Image

from dfpg.data.faces.dataset import FaceSet, load_folder
from dfpg.pretrained.detector import Detection


@cache
def faces() -> FaceSet:
    """The validation people of the embedded faces, 160 px."""
    return load_folder(ROOT / "data", "val", None)


def background(height: int, width: int) -> NDArray[np.uint8]:
    """A smooth colour gradient, RGB uint8 [H, W, 3]."""
    y, x = np.mgrid[:height, :width]
    layers = np.stack([x / width, y / height, (x + y) / (width + height)], -1)
    return (60 + 120 * layers).astype(np.uint8)


def with_faces(
    height: int, width: int, places: list[tuple[int, int, int]]
) -> tuple[NDArray[np.uint8], list[Detection]]:
    """A photograph with faces at (top, left, side), and what a detector would find there."""
    picture = background(height, width)
    found = []
    for number, (top, left, side) in enumerate(places):
        face = Image.fromarray(faces().pictures[4 * number]).resize((side, side))
        picture[top : top + side, left : left + side] = face
        points = faces().landmarks[4 * number] * side / 160 + np.array([left, top], np.float32)
        corners = np.concatenate([points.min(0) - side / 8, points.max(0) + side / 8])
        found.append(Detection(0.9, corners.astype(np.float32), points.astype(np.float32)))
    return picture, found
