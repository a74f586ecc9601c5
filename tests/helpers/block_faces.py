"""Faces of flat squares: pictures that compress and blur like no face, made at once."""

from __future__ import annotations

import numpy as np

from dfpg.data.faces.dataset import FaceSet


def block_faces() -> dict[str, FaceSet]:
    """The source ``embedded``: 36 pictures of 48 px, two of each person."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(60, 200, (36, 6, 6, 3))
    pictures = coarse.repeat(8, 1).repeat(8, 2).round().astype(np.uint8)
    people = tuple(f"p{number // 2:02d}" for number in range(36))
    names = tuple(f"{number}.jpg" for number in range(36))
    return {"embedded": FaceSet(pictures, people, names, np.zeros((36, 5, 2), np.float32))}
