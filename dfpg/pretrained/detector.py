"""SCRFD face detector with five landmarks (Guo et al. 2022), run by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfpg.pretrained.onnx_network import open_network

CANVAS = 640  # SCRFD's square input
LARGEST_FACE = 400  # px: a face that fills the canvas is not found, so a picture is drawn this size
STRIDES = (8, 16, 32)  # px of the input per cell of each of the three output maps
ANCHORS = 2  # predictions per cell
SAME_FACE_IOU = 0.4  # of two boxes whose overlap is larger, the one with the lower score is dropped


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
        self._threshold = threshold
        self._network = open_network(path)
        self._input = self._network.get_inputs()[0].name

    def __call__(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Faces in an RGB uint8 picture [H, W, 3], best score first."""
        import cv2

        scale = LARGEST_FACE / max(picture.shape[:2])
        drawn = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        faces = self.on_canvas(np.asarray(drawn, np.uint8))
        return [Detection(face.score, face.box / scale, face.landmarks / scale) for face in faces]

    def on_canvas(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Faces in an RGB uint8 picture of at most 640 x 640 px as it is, best score first."""
        canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
        top, left = ((CANVAS - length) // 2 for length in picture.shape[:2])
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        offset = np.array([left, top], np.float32)
        return [
            Detection(float(score), (box.reshape(2, 2) - offset).reshape(4), landmarks - offset)
            for score, box, landmarks in zip(*self._detect(canvas), strict=True)
        ]

    def _detect(self, canvas: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Scores [N], boxes [N, 4] and landmarks [N, 5, 2] in px, of an RGB canvas, best first."""
        values = (canvas.astype(np.float32) - 127.5) / 128
        outputs = self._network.run(None, {self._input: values.transpose(2, 0, 1)[None]})
        count = len(STRIDES)  # of the scores' maps, before as many of the boxes and the landmarks
        parts = []
        for level, stride in enumerate(STRIDES):
            scores, edges, points = (output[0] for output in outputs[level::count])
            parts.append(_candidates(scores, edges, points, stride, self._threshold))
        scores, boxes, landmarks = map(np.concatenate, zip(*parts, strict=True))
        order = np.argsort(-scores, kind="stable")
        kept = order[_distinct(boxes[order])]
        return scores[kept], boxes[kept], landmarks[kept]


def _candidates(
    scores: NDArray[np.float32],
    edges: NDArray[np.float32],
    points: NDArray[np.float32],
    stride: int,
    threshold: float,
) -> tuple[NDArray[np.float32], ...]:
    """Scores, boxes and landmarks of one map whose score is at least ``threshold``.

    The network gives, in cells and seen from the cell's corner, the distances to a box's left,
    top, right and bottom edge [N, 4], and the landmarks' places x, y [N, 10].
    """
    cells = CANVAS // stride
    rows, columns = np.divmod(np.arange(cells * cells).repeat(ANCHORS), cells)
    corners = (np.stack([columns, rows], axis=1) * stride).astype(np.float32)
    taken = scores[:, 0] >= threshold
    corners, edges, points = corners[taken], edges[taken] * stride, points[taken] * stride
    boxes = np.concatenate([corners - edges[:, :2], corners + edges[:, 2:]], axis=1)
    return scores[taken, 0], boxes, corners[:, None] + points.reshape(-1, 5, 2)


def _distinct(boxes: NDArray[np.float32]) -> list[int]:
    """Boxes [N, 4], the best first, without those that overlap a better one too much.

    As in the detector's own code, boxes include their last pixels.
    """
    area = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    kept: list[int] = []
    for index, box in enumerate(boxes):
        better = boxes[kept]
        size = np.minimum(box[2:], better[:, 2:]) - np.maximum(box[:2], better[:, :2]) + 1
        both = size.clip(0).prod(axis=1)
        if (both <= SAME_FACE_IOU * (area[index] + area[kept] - both)).all():
            kept.append(index)
    return kept
