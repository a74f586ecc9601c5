"""Views of a face picture: crop, flip, rotation and colour jitter (dolphin0104/MSPL-GAN)."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Augmentation

LUMA = (0.2989, 0.587, 0.114)  # ITU-R BT.601
JITTERS = 3  # brightness, contrast, saturation
DRAWS = 4 + 2 * JITTERS  # offset x and y, flip, angle; factor and order of each jitter


def face_views(
    pictures: Tensor,
    crop: float,
    augmentation: Augmentation,
    size: int,
    rng: np.random.Generator | None,
) -> Tensor:
    """One view of every picture, on the pictures' device.

    The cropped square is flipped and rotated about its middle, and black outside of itself. It is
    sampled once, bilinearly, at a multiple of ``size`` near the crop's own resolution, and then
    averaged over boxes: a crop of ``size`` pixels is given back as it is. (The source jitters
    before it crops and samples bicubically; here the jitter comes last but for the black corners,
    so that the mean grey does not depend on them.)

    Args:
        pictures: uint8 [N, S, S, 3].
        crop: side of the crop as a share of S.
        augmentation: what is drawn; every view uses the same number of draws in any case.
        size: side of the result, px.
        rng: stream of the draws; ``None`` gives the centre view, without any augmentation.

    Returns:
        Views [N, 3, size, size] in [-1, 1].
    """
    count, side = pictures.shape[:2]
    factor = max(1, round(crop * side / size))
    device = pictures.device
    draws = None if rng is None else rng.random((count, DRAWS))
    matrix, offset = torch.eye(2, device=device).expand(count, 2, 2), torch.zeros(2, device=device)
    if draws is not None:
        matrix, offset = (
            torch.from_numpy(array.astype(np.float32)).to(device)
            for array in geometry(draws, crop, augmentation)
        )
    images = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
    grid = sampling_grid(matrix, factor * size) * crop + offset
    # Places beyond the picture lie outside the crop: the mask below blackens them.
    views = F.grid_sample(images, grid, "bilinear", "border", align_corners=False)
    views = F.avg_pool2d(views, factor)
    if draws is not None and augmentation.color_jitter:
        views = color_jitter(views, draws[:, 4:], augmentation.color_jitter)
    if draws is not None and augmentation.rotation:
        margin = (1 - sampling_grid(matrix, size).abs()) * size / 2  # px to the crop's edges
        views = views * (margin + 0.5).clamp(0, 1).prod(-1).unsqueeze(1)
    return views * 2 - 1


def sampling_grid(matrix: Tensor, side: int) -> Tensor:
    """Where in the crop each pixel lies: matrices [N, 2, 2] -> (x, y) [N, side, side, 2]."""
    line = (2 * torch.arange(side, device=matrix.device) + 1) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    flat = torch.stack([x, y], -1).reshape(1, -1, 2) @ matrix.mT
    return flat.reshape(-1, side, side, 2)


def geometry(
    draws: NDArray[np.float64], crop: float, augmentation: Augmentation
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Map from a view's place to the crop's, and the crop's place in the picture.

    Args:
        draws: uniform [N, >= 4].
        crop: side of the crop as a share of the picture's.
        augmentation: what is drawn.

    Returns:
        Matrices [N, 2, 2] on (x, y) in [-1, 1], and offsets [N, 1, 1, 2] in the picture's [-1, 1].
    """
    offset = (2 * draws[:, :2] - 1) * (1 - crop) * augmentation.random_crop
    mirror = np.where((draws[:, 2] < 0.5) & augmentation.flip, -1.0, 1.0)
    angle = (2 * draws[:, 3] - 1) * math.radians(augmentation.rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack([mirror * cos, -mirror * sin, sin, cos], 1)
    return matrix.reshape(-1, 2, 2), offset[:, None, None, :]


def color_jitter(images: Tensor, draws: NDArray[np.float64], strength: float) -> Tensor:
    """Brightness, contrast and saturation by random factors, in random order.

    Each is a blend f * image + (1 - f) * target, clamped to [0, 1], with target black (brightness),
    the image's mean luma (contrast) or each pixel's luma (saturation), as torchvision defines them.

    Args:
        images: float [N, 3, H, W] in [0, 1].
        draws: uniform [N, 6]: three factors, three sort keys of the order.
        strength: factors are drawn from [1 - strength, 1 + strength].
    """
    order = draws[:, JITTERS:].argsort(1)
    factors = np.take_along_axis(1 + strength * (2 * draws[:, :JITTERS] - 1), order, 1)
    weights = np.stack([factors, (1 - factors) * (order == 1), (1 - factors) * (order == 2)])
    tensors = torch.from_numpy(weights.astype(np.float32)).to(images.device)
    luma = torch.tensor(LUMA, device=images.device).reshape(1, 3, 1, 1)
    for stage in range(JITTERS):
        own, mean, grey = tensors[:, :, stage].reshape(3, -1, 1, 1, 1)
        gray = (images * luma).sum(1, keepdim=True)
        target = mean * gray.mean((2, 3), keepdim=True) + grey * gray
        images = (own * images + target).clamp(0, 1)
    return images
