"""Views of parsing maps that match the views of the faces."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Augmentation
from dfpg.data.augmentation import DRAWS, geometry, sampling_grid
from dfpg.pretrained.parsing import swap_sides


def label_views(
    labels: Tensor,
    crop: float,
    augmentation: Augmentation,
    size: int,
    rng: np.random.Generator | None,
) -> Tensor:
    """The views of :func:`dfpg.data.augmentation.face_views` for parsing maps (nearest).

    Args:
        labels: uint8 [N, S, S] of :data:`dfpg.pretrained.parsing.CLASSES`.
        crop: side of the crop as a share of S.
        augmentation: what is drawn.
        size: side of the result, px.
        rng: stream in the state in which ``face_views`` gets it; ``None``: the centre view.

    Returns:
        Labels uint8 [N, size, size]; background beyond the edges of a turned crop.
    """
    count, device = len(labels), labels.device
    matrix, offset = torch.eye(2, device=device).expand(count, 2, 2), torch.zeros(2, device=device)
    if rng is not None:
        draws = rng.random((count, DRAWS))
        arrays = geometry(draws, crop, augmentation)
        matrix, offset = (torch.from_numpy(array.astype(np.float32)).to(device) for array in arrays)
    within = sampling_grid(matrix, size)
    maps = torch.where(torch.linalg.det(matrix).reshape(-1, 1, 1) < 0, swap_sides(labels), labels)
    views = F.grid_sample(
        maps.unsqueeze(1).to(torch.float32),
        within * crop + offset,
        "nearest",
        "border",
        align_corners=False,
    )[:, 0]
    if augmentation.rotation:
        views = views * (within.abs() <= 1).all(-1)
    return views.to(torch.uint8)
