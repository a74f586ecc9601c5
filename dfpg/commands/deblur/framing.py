"""Square frames about faces: found from landmarks, cut out for a model, and corrected in place.

A model knows faces of one size in one framing, a photograph has them at any size, place and tilt.
What the model changes (restored minus input, at its own size) is enlarged and added to the
photograph, so that a face larger than the model's input keeps the detail that the model never saw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Medians of SCRFD's landmarks in the embedded training faces, in the centre view of both protocols
# (the middle 0.875 of an FFHQ-like picture), as shares of its side.
TEMPLATE = np.array(
    [[0.354, 0.468], [0.644, 0.469], [0.495, 0.647], [0.368, 0.762], [0.633, 0.764]]
)
FEATHER = 0.125  # share of the frame's side over which a correction fades out
BAND = 1 << 20  # px of a photograph that are corrected at once

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Frame:
    """A square in a photograph, possibly turned.

    ``matrix`` [2, 3] maps a photograph's (x, y), in px, 0 being the middle of the first pixel, to
    the unit square.
    """

    matrix: NDArray[np.float64]

    @property
    def side(self) -> float:
        """Length of its side in px of the photograph."""
        return float(1 / np.hypot(*self.matrix[:, 0]))

    def pixels(self, size: int) -> NDArray[np.float64]:
        """Matrix [2, 3] from px of the photograph to px of the frame drawn ``size`` px wide."""
        return size * self.matrix - [[0, 0, 0.5], [0, 0, 0.5]]

    def bounds(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, bottom, left, right of the smallest box around it inside a photograph."""
        inverse = cv2.invertAffineTransform(self.matrix)
        corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ inverse[:, :2].T + inverse[:, 2]
        left, top = np.floor(corners.min(0)).astype(int)
        right, bottom = np.ceil(corners.max(0)).astype(int) + 1
        return max(top, 0), min(bottom, height), max(left, 0), min(right, width)


def frame_from_landmarks(landmarks: NDArray[np.float32]) -> Frame:
    """Frame in which the landmarks lie nearest to ``TEMPLATE``: least squares over similarities.

    Args:
        landmarks: [5, 2] px, as seen: left eye, right eye, nose, left and right mouth corner.
    """
    here = landmarks.astype(np.float64) @ [1, 1j]
    there = TEMPLATE @ [1, 1j]
    centred = here - here.mean()
    turn = np.vdot(centred, there) / np.vdot(centred, centred)
    shift = there.mean() - turn * here.mean()
    return Frame(
        np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    )


def crop(photograph: Pixels, frame: Frame, size: int, reflect: bool = True) -> Pixels:
    """What a frame shows, RGB uint8 [size, size, 3].

    Sampled as the training views are: bilinearly, at a multiple of ``size`` near the frame's own
    resolution, then averaged over boxes. Beyond the photograph's border it is reflected, as blur
    is in training, or else white.
    """
    factor = max(1, round(frame.side / size))
    top, bottom, left, right = frame.bounds(*photograph.shape[:2])
    matrix = _shift_origin(frame.pixels(factor * size), top, left)
    fine = cv2.warpAffine(
        photograph[top:bottom, left:right],
        matrix,
        (factor * size, factor * size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101 if reflect else cv2.BORDER_CONSTANT,
        borderValue=(255, 255, 255),
    )
    return np.asarray(cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def paste_back(
    canvas: Pixels, photograph: Pixels, frame: Frame, change: NDArray[np.float32]
) -> None:
    """Blend the photograph plus a change into the canvas, inside a frame.

    Where frames overlap, the later one covers the earlier one: changes do not add up. Pixels
    outside of the frame, and pixels that the change does not move by half a grey level, stay.

    Args:
        canvas: RGB uint8 [H, W, 3], altered in place.
        photograph: RGB uint8 [H, W, 3], as it was.
        frame: of a face in it.
        change: restored minus input in grey levels, float32 [S, S, 3], S being the model's size.
    """
    size = len(change)
    top, bottom, left, right = frame.bounds(*photograph.shape[:2])
    factor = max(1, round(size / frame.side))
    layers = np.dstack([change, feather_mask(size)])
    rows = max(1, BAND // max(1, (right - left) * factor**2))
    for start in range(top, bottom, rows):
        part = np.s_[start : min(start + rows, bottom), left:right]
        height, width = photograph[part].shape[:2]
        matrix = _shift_origin(frame.pixels(size), start, left)
        drawn = _warp(layers, matrix, height, width, factor)
        weight = np.clip(drawn[..., 3:], 0, 1)
        old = canvas[part].astype(np.float32)
        new = old + weight * (photograph[part] + drawn[..., :3] - old)
        canvas[part] = np.clip(np.rint(new), 0, 255).astype(np.uint8)


def feather_mask(size: int) -> NDArray[np.float32]:
    """Weight [size, size] of a frame's pixels: 1 inside, falling to 0 at the edge as a cosine."""
    inside = np.arange(size) / (size - 1)  # the outermost pixels weigh nothing
    edge = np.minimum(inside, 1 - inside) / FEATHER
    line = 0.5 - 0.5 * np.cos(math.pi * np.minimum(edge, 1))
    return np.outer(line, line).astype(np.float32)


def _warp(
    layers: NDArray[np.float32],
    matrix: NDArray[np.float64],
    height: int,
    width: int,
    factor: int,
) -> NDArray[np.float32]:
    """Layers of a frame drawn into a part of the photograph, 0 outside; averaged if reduced."""
    fine = matrix.copy()
    fine[:, :2] /= factor
    fine[:, 2] += matrix[:, :2].sum(1) * (0.5 / factor - 0.5)
    drawn = cv2.warpAffine(
        layers,
        fine,
        (factor * width, factor * height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    small = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _shift_origin(matrix: NDArray[np.float64], top: int, left: int) -> NDArray[np.float64]:
    """The same map from a part of the photograph that starts at (top, left)."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ [left, top]
    return moved
