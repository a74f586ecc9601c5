"""Faces of any size in a photograph of any size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dfpg.pretrained.detector import CANVAS, LARGEST_FACE, Detection, FaceDetector

SMALLEST_WINDOW = 800  # px; faces of some 30 px are the least that are found in it
ZOOM = 5  # windows of one scale are at least 1 / ZOOM as wide as those of the scale before
OVERLAP = 0.3  # of neighbouring windows; a larger face was found at the scale before
SAME_FACE_IOU = 0.4  # intersection over union of two boxes that show one face
PART_OF_FACE = 0.5  # share of a box that lies in a larger one's: then it is a part of that face
EDGE_MARGIN = 0.01  # share of a window's side: a box that comes so near to its edge is cut off

Detect = Callable[[NDArray[np.uint8]], list[Detection]]


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


class Window(NamedTuple):
    """A part of a photograph, in px, and the longer side ``drawn`` that the detector sees, px."""

    top: int
    bottom: int
    left: int
    right: int
    drawn: int


def find_faces(picture: NDArray[np.uint8], detect: Detect) -> list[Detection]:
    """Faces of a photograph, the largest first.

    At 400 px, where a face may fill the picture, small faces of a large photograph are lost: so
    the detector also sees overlapping windows of it at 640 px, scale by scale.

    Args:
        picture: RGB uint8 [H, W, 3].
        detect: a detector that scales nothing, such as :class:`CanvasDetector`.
    """
    found = [
        face
        for window in windows(*picture.shape[:2])
        for face in _detect_in(picture, window, detect)
    ]
    distinct: list[Detection] = []
    for face in sorted(found, key=lambda one: -one.score):
        if not any(_show_one_face(face.box, other.box) for other in distinct):
            distinct.append(face)
    kept: list[Detection] = []
    for face in sorted(distinct, key=lambda one: -area(one.box)):
        if all(
            intersection_area(face.box, other.box) < PART_OF_FACE * area(face.box) for other in kept
        ):
            kept.append(face)
    return kept


def windows(height: int, width: int) -> Iterator[Window]:
    """The whole photograph, then overlapping square windows, smaller from scale to scale.

    A photograph no larger than the smallest window is seen as a whole once more, not reduced to
    400 px: faces of 31 px are lost there.
    """
    whole = max(height, width)
    yield Window(0, height, 0, width, LARGEST_FACE)
    if LARGEST_FACE < whole <= SMALLEST_WINDOW:
        yield Window(0, height, 0, width, min(whole, CANVAS))
    levels = math.ceil(math.log(max(whole / SMALLEST_WINDOW, 1), ZOOM))
    for level in range(1, levels + 1):
        side = round(whole * (SMALLEST_WINDOW / whole) ** (level / levels))
        for top in _starts(height, side):
            for left in _starts(width, side):
                bottom, right = min(top + side, height), min(left + side, width)
                yield Window(top, bottom, left, right, CANVAS)


def _starts(length: int, side: int) -> list[int]:
    """Where windows of ``side`` px begin that cover ``length`` px and overlap by ``OVERLAP``."""
    room = max(0, length - side)
    steps = max(1, math.ceil(room / (side * (1 - OVERLAP))))
    return sorted({round(step * room / steps) for step in range(steps + 1)})


def _detect_in(picture: NDArray[np.uint8], window: Window, detect: Detect) -> Iterator[Detection]:
    """Faces of one window that its edges do not cut, in px of the picture."""
    part = picture[window.top : window.bottom, window.left : window.right]
    height, width = part.shape[:2]
    scale = window.drawn / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    offset = np.array([window.left, window.top, window.left, window.top], np.float32)
    margin = EDGE_MARGIN * max(height, width)
    inner = np.array(
        [
            window.left + margin if window.left else -math.inf,
            window.top + margin if window.top else -math.inf,
            window.right - margin if window.right < picture.shape[1] else math.inf,
            window.bottom - margin if window.bottom < picture.shape[0] else math.inf,
        ]
    )
    for face in detect(np.asarray(cv2.resize(part, size, interpolation=way), np.uint8)):
        box = face.box / scale + offset
        if (box[:2] >= inner[:2]).all() and (box[2:] <= inner[2:]).all():
            yield Detection(face.score, box, face.landmarks / scale + offset[:2])


def nearest_to_centre(faces: list[Detection], height: int, width: int) -> list[Detection]:
    """The one face whose box's middle lies nearest to that of the photograph; none of none."""
    return sorted(
        faces,
        key=lambda face: math.hypot(
            float(face.box[0] + face.box[2]) - width, float(face.box[1] + face.box[3]) - height
        ),
    )[:1]


def _show_one_face(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    both = intersection_area(one, other)
    return both > SAME_FACE_IOU * (area(one) + area(other) - both)


def area(box: NDArray[np.float32]) -> float:
    """Area of a box (x0, y0, x1, y1), px."""
    x0, y0, x1, y1 = map(float, box)
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def intersection_area(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Area that two boxes share, px."""
    corners = np.concatenate([np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])])
    return area(corners)
