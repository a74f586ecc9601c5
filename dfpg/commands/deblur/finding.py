"""Faces of any size in a photograph of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfpg.pretrained.detector import CANVAS, LARGEST_FACE, Detection, FaceDetector

FINEST = 800  # px: parts of a photograph are no smaller, so faces of some 30 px are the least found
ZOOM = 5  # each closer look shows at least this share of the side of the look before: 1 / ZOOM
# Neighbouring parts share so much of their side: what is larger was found one look before.
OVERLAP = 0.3
SAME = 0.4  # intersection over union of two boxes that show one face
COVERED = 0.5  # share of a box that lies in a larger one's: then it is a part of that face
EDGE = 0.01  # share of a part's side: a box that comes so near to its edge is cut off by it

Find = Callable[[NDArray[np.uint8]], list[Detection]]


class CanvasDetector(FaceDetector):
    """The same detector for pictures that are drawn at the right size: it scales nothing."""

    def __call__(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Faces in an RGB uint8 picture of at most 640 x 640 px."""
        canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
        top, left = ((CANVAS - length) // 2 for length in picture.shape[:2])
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture[:, :, ::-1]
        boxes, points = self._model.detect(canvas)
        offset = np.array([left, top], np.float32)
        return [
            Detection(float(box[4]), (box[:4].reshape(2, 2) - offset).reshape(4), places - offset)
            for box, places in zip(boxes, points, strict=True)
        ]


class Look(NamedTuple):
    """A part of a photograph, in px, and the longer side at which the detector sees it."""

    top: int
    bottom: int
    left: int
    right: int
    drawn: int


def find_faces(picture: NDArray[np.uint8], find: Find) -> list[Detection]:
    """Faces of a photograph, the largest first.

    At 400 px, where a face may fill the picture, small faces of a large photograph are lost: so
    overlapping parts are looked at, too, at 640 px and ever closer.

    Args:
        picture: RGB uint8 [H, W, 3].
        find: a detector that scales nothing, such as :class:`CanvasDetector`.
    """
    found = [face for look in looks(*picture.shape[:2]) for face in _seen(picture, look, find)]
    distinct: list[Detection] = []
    for face in sorted(found, key=lambda one: -one.score):
        if not any(_same(face.box, other.box) for other in distinct):
            distinct.append(face)
    kept: list[Detection] = []
    for face in sorted(distinct, key=lambda one: -area(one.box)):
        if all(shared(face.box, other.box) < COVERED * area(face.box) for other in kept):
            kept.append(face)
    return kept


def looks(height: int, width: int) -> Iterator[Look]:
    """The whole photograph, then overlapping square parts of it, closer and closer."""
    whole = max(height, width)
    yield Look(0, height, 0, width, LARGEST_FACE)
    levels = math.ceil(math.log(max(whole / FINEST, 1), ZOOM))
    for level in range(1, levels + 1):
        side = round(whole * (FINEST / whole) ** (level / levels))
        for top in _starts(height, side):
            for left in _starts(width, side):
                bottom, right = min(top + side, height), min(left + side, width)
                yield Look(top, bottom, left, right, CANVAS)


def _starts(length: int, side: int) -> list[int]:
    """Where parts of ``side`` px begin that cover ``length`` px and overlap by ``OVERLAP``."""
    room = max(0, length - side)
    steps = max(1, math.ceil(room / (side * (1 - OVERLAP))))
    return sorted({round(step * room / steps) for step in range(steps + 1)})


def _seen(picture: NDArray[np.uint8], look: Look, find: Find) -> Iterator[Detection]:
    """Faces of one look that its edges do not cut, in px of the picture."""
    part = picture[look.top : look.bottom, look.left : look.right]
    height, width = part.shape[:2]
    scale = look.drawn / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    offset = np.array([look.left, look.top, look.left, look.top], np.float32)
    margin = EDGE * max(height, width)
    inner = np.array(
        [
            look.left + margin if look.left else -math.inf,
            look.top + margin if look.top else -math.inf,
            look.right - margin if look.right < picture.shape[1] else math.inf,
            look.bottom - margin if look.bottom < picture.shape[0] else math.inf,
        ]
    )
    for face in find(np.asarray(cv2.resize(part, size, interpolation=way), np.uint8)):
        box = face.box / scale + offset
        if (box[:2] >= inner[:2]).all() and (box[2:] <= inner[2:]).all():
            yield Detection(face.score, box, face.landmarks / scale + offset[:2])


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    both = shared(one, other)
    return both > SAME * (area(one) + area(other) - both)


def area(box: NDArray[np.float32]) -> float:
    """Area of a box (x0, y0, x1, y1), px."""
    x0, y0, x1, y1 = map(float, box)
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def shared(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Area that two boxes share, px."""
    corners = np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])])
    return area(corners)
