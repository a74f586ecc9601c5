"""Is there a face in the picture: the two detectors of Table 3.

``dlib_hog`` is what OpenFace calls, and so the paper: dlib's frontal HOG detector on the picture
enlarged once (upsample 1), which finds faces from about 40 px on. ``scrfd`` is a network
(:mod:`dfpg.pretrained.detector`). A success is at least one detection.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

UPSAMPLE = 1  # OpenFace's


class Box(NamedTuple):
    """A detected face: score (above 0 for dlib) and edges in px of the picture."""

    score: float
    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """In square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


class DlibHog:
    """dlib's frontal face detector; the convention of the paper's detection rate."""

    def __init__(self) -> None:
        import dlib

        self._detector: Any = dlib.get_frontal_face_detector()

    def __call__(self, picture: NDArray[np.uint8]) -> Box | None:
        """Largest face (as OpenFace chooses) in an RGB picture uint8 [H, W, 3]; None without."""
        found, scores, _ = self._detector.run(np.ascontiguousarray(picture), UPSAMPLE, 0.0)
        boxes = [
            Box(score, box.left(), box.top(), box.right(), box.bottom())
            for box, score in zip(found, scores, strict=True)
        ]
        return max(boxes, key=lambda box: box.area, default=None)
