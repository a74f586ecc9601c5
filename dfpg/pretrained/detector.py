"""SCRFD face detector with five landmarks, run through ``insightface``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfpg.pretrained.onnx_network import open_network

CANVAS = 640  # SCRFD's square input
LARGEST_FACE = 400  # px: a face that fills the canvas is not found, so a picture is drawn this size


@dataclass(frozen=True)
class Detection:
    """One face: ``box`` (x0, y0, x1, y1) and ``landmarks`` [5, 2] in px of the picture.

    Landmarks are, as seen in the picture: left eye, right eye, nose, left and right mouth corner.
    """

    score: float
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]


class FaceDetector:
    """Finds faces in pictures that one face nearly fills.

    Args:
        path: SCRFD network with landmarks, as ONNX (asset ``scrfd``).
        threshold: least score of a detection, in (0, 1).
    """

    def __init__(self, path: Path, threshold: float = 0.5) -> None:
        self._model: Any = open_network(path)
        self._model.prepare(ctx_id=-1, det_thresh=threshold, input_size=(CANVAS, CANVAS))

    def __call__(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Faces in an RGB uint8 picture [H, W, 3], best score first."""
        import cv2

        scale = LARGEST_FACE / max(picture.shape[:2])
        drawn = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
        top, left = (CANVAS - drawn.shape[0]) // 2, (CANVAS - drawn.shape[1]) // 2
        canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn[:, :, ::-1]
        boxes, points = self._model.detect(canvas)
        offset = np.array([left, top], np.float32)
        found = [
            Detection(
                float(box[4]),
                ((box[:4].reshape(2, 2) - offset) / scale).reshape(4),
                (landmarks - offset) / scale,
            )
            for box, landmarks in zip(boxes, points, strict=True)
        ]
        return sorted(found, key=lambda face: -face.score)
