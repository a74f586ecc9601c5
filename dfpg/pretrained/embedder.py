"""Face embedder trained with ArcFace, run through ``insightface``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dfpg.core.config import PARAMS
from dfpg.core.errors import UserError
from dfpg.core.files import expand_home
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.onnx_network import open_network

# Where insightface keeps its pack of that name.
BUFFALO_SC = Path("~/.insightface/models/buffalo_sc/w600k_mbf.onnx")
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


def embedder_path(name: str | None) -> Path:
    """ONNX file of an embedder.

    Args:
        name: None for the pinned asset ``mobilefacenet``; ``buffalo_sc`` for InsightFace's
            MobileFaceNet where the user has that pack; else the path of any ArcFace ONNX file.

    Raises:
        UserError: the file is missing.
    """
    if name is None:
        return asset_path("mobilefacenet")
    path = expand_home(BUFFALO_SC if name == "buffalo_sc" else Path(name))
    if not path.is_file():
        raise UserError(
            f"{PARAMS}: recognition.embedder: {path} is missing: put the ONNX file there, "
            "or use null for the pinned embedder"
        )
    return path


class FaceEmbedder:
    """Maps an aligned face to a unit vector; the cosine of two of them says how alike they are.

    Args:
        path: ArcFace network as ONNX, input [N, 3, 112, 112] (asset ``mobilefacenet``).
    """

    def __init__(self, path: Path) -> None:
        try:
            self._model: Any = open_network(path)
            self._model.prepare(ctx_id=-1)
            if tuple(self._model.input_size) != (CROP, CROP):
                raise ValueError(f"input of {self._model.input_size} px")
        except Exception as error:  # a parser of foreign bytes may fail in any way
            raise UserError(
                f"{path}: no ArcFace network as ONNX ({type(error).__name__}): give another "
                f"file as recognition.embedder in {PARAMS}, or use null for the pinned one"
            ) from error

    def __call__(
        self, picture: NDArray[np.uint8], landmarks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Embedding, float32 [D] of length 1, of the face at ``landmarks`` in an RGB picture."""
        return cast("NDArray[np.float32]", self.embed_batch(picture[None], landmarks[None])[0])

    def embed_batch(
        self, pictures: NDArray[np.uint8], landmarks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Embeddings [N, D] of the faces at ``landmarks`` [N, 5, 2] in RGB pictures [N, H, W, 3].

        All of them go through the network at once.
        """
        faces = [align(*face)[:, :, ::-1] for face in zip(pictures, landmarks, strict=True)]
        vectors = self._model.get_feat(faces)
        return cast("NDArray[np.float32]", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
