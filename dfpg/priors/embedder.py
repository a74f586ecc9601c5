"""Face embedder trained with ArcFace, run through ``insightface``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

CROP = 112  # px, side of the aligned crop
# Landmark positions in the aligned 112-px crop of the ArcFace paper (Deng et al. 2019).
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)


def align(picture: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Similarity-aligned crop, uint8 [112, 112, 3], from five landmarks [5, 2] in px."""
    import cv2
    from skimage.transform import SimilarityTransform

    transform = SimilarityTransform.from_estimate(landmarks, TEMPLATE)
    return cast(
        "NDArray[np.uint8]",
        cv2.warpAffine(picture, transform.params[:2], (CROP, CROP), flags=cv2.INTER_LINEAR),
    )


class FaceEmbedder:
    """Maps an aligned face to a unit vector; the cosine of two of them says how alike they are.

    Args:
        path: ArcFace network as ONNX, input [N, 3, 112, 112] (asset ``mobilefacenet``).
    """

    def __init__(self, path: Path) -> None:
        from insightface.model_zoo import get_model

        self._model: Any = get_model(str(path), providers=["CPUExecutionProvider"])
        self._model.prepare(ctx_id=-1)

    def __call__(
        self, picture: NDArray[np.uint8], landmarks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Embedding, float32 [D] of length 1, of the face at ``landmarks`` in an RGB picture."""
        crop = align(picture, landmarks)[:, :, ::-1]
        vector = self._model.get_feat(crop).ravel()
        return cast("NDArray[np.float32]", vector / np.linalg.norm(vector))
