"""Structural similarity (Wang et al. 2004) in three conventions that give different numbers.

All of them filter local means with a separable window. A window and its treatment of borders is a
matrix that multiplies rows and columns: at the sizes of this suite (64-256 px) that is faster than
a convolution in float64, and it needs no padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from dfpg.metrics.common import PEAK, Features, check_images, check_match

C1 = (0.01 * PEAK) ** 2
C2 = (0.03 * PEAK) ** 2

Border = Literal["replicate", "valid"]


def gaussian_window(size: int = 11, sigma: float = 1.5) -> tuple[float, ...]:
    """Sampled Gaussian of odd ``size``, sum 1."""
    x = torch.arange(size, dtype=torch.float64) - size // 2
    weights = torch.exp(-0.5 * (x / sigma) ** 2)
    return tuple((weights / weights.sum()).tolist())


def uniform_window(size: int = 7) -> tuple[float, ...]:
    """Box of ``size``, sum 1."""
    return (1 / size,) * size


@lru_cache(maxsize=32)
def filter_matrix(
    length: int, window: tuple[float, ...], border: Border, device: torch.device
) -> Tensor:
    """Matrix F with ``F @ signal`` = the signal filtered with ``window``.

    Returns:
        float64 [length, length] for "replicate", [length - len(window) + 1, length] for "valid".
    """
    weights = torch.tensor(window, dtype=torch.float64)
    reach = len(window) // 2
    centres = torch.arange(length)
    if border == "valid":
        centres = centres[reach : length - reach]
    taps = (centres[:, None] + torch.arange(-reach, reach + 1)).clamp(0, length - 1)
    matrix = torch.zeros(len(centres), length, dtype=torch.float64)
    return matrix.scatter_add_(1, taps, weights.expand(len(centres), -1)).to(device)


@dataclass(frozen=True)
class Ssim:
    """One convention of SSIM.

    Args:
        name: name of the convention.
        convention: what it is and where it is published.
        window: weights along each axis.
        border: how the window treats the border.
        volume: filter along the channels too, as if H x W x 3 were a volume.
        sample_covariance: divide (co)variances by n - 1 in place of n, n = pixels of the window.
    """

    name: str
    convention: str
    window: tuple[float, ...]
    border: Border
    volume: bool = False
    sample_covariance: bool = False
    higher_is_better: bool = True

    def _filter(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        rows = filter_matrix(height, self.window, self.border, images.device)
        columns = filter_matrix(width, self.window, self.border, images.device)
        smooth = rows @ (images @ columns.T)
        if not self.volume:
            return smooth
        depth = filter_matrix(images.shape[1], self.window, self.border, images.device)
        return torch.einsum("dc,nchw->ndhw", depth, smooth)

    def features(self, sharp: Tensor) -> Features:
        """Sharp images as float64, their local means, and the local means of their squares."""
        y = check_images(sharp, self.name, least=len(self.window)).to(torch.float64)
        return y, self._filter(y), self._filter(y.square())

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """SSIM, float64 [N] in [-1, 1]: the map's mean over all positions and channels."""
        return self.map(restored, features).mean(dim=(1, 2, 3))

    def map(self, restored: Tensor, features: Features) -> Tensor:
        """SSIM at every position, float64 [N, 3, h, w]; as large as the image for "replicate"."""
        y, mean_y, square_y = features
        check_match(check_images(restored, self.name), y.shape, self.name)
        x = restored.to(torch.float64)
        mean_x, square_x, product = self._filter(x), self._filter(x.square()), self._filter(x * y)
        count = len(self.window) ** 2
        scale = count / (count - 1) if self.sample_covariance else 1.0
        means, powers = mean_x * mean_y, mean_x.square() + mean_y.square()
        numerator = (2 * means + C1) * (2 * scale * (product - means) + C2)
        denominator = (powers + C1) * (scale * (square_x + square_y - powers) + C2)
        return numerator / denominator


SSIM_MATLAB_RGB = Ssim(
    name="ssim_matlab_rgb",
    convention=(
        "MATLAB `ssim` on an H x W x 3 array, which it treats as a volume: Gaussian window "
        "11 x 11 x 11, sigma 1.5, replicate padding, mean over all voxels (paper Tables 1, 2, 4)."
    ),
    window=gaussian_window(),
    border="replicate",
    volume=True,
)
SSIM_WANG_RGB = Ssim(
    name="ssim_wang_rgb",
    convention=(
        "SSIM of Wang et al. 2004 per channel: Gaussian window 11 x 11, sigma 1.5, only where the "
        "window lies inside the image, mean over positions and channels."
    ),
    window=gaussian_window(),
    border="valid",
)
SSIM_SKIMAGE = Ssim(
    name="ssim_skimage",
    convention=(
        "scikit-image `structural_similarity(channel_axis=2, data_range=255)`: uniform window "
        "7 x 7, sample covariance, border of 3 px cropped, mean over positions and channels."
    ),
    window=uniform_window(),
    border="valid",
    sample_covariance=True,
)


def ssim_matlab_rgb(restored: Tensor, sharp: Tensor) -> Tensor:
    """SSIM, float64 [N], of uint8 RGB [N, 3, H, W]; see ``SSIM_MATLAB_RGB.convention``."""
    return SSIM_MATLAB_RGB.score(restored, SSIM_MATLAB_RGB.features(sharp))


def ssim_wang_rgb(restored: Tensor, sharp: Tensor) -> Tensor:
    """SSIM, float64 [N], of uint8 RGB [N, 3, H, W]; see ``SSIM_WANG_RGB.convention``."""
    return SSIM_WANG_RGB.score(restored, SSIM_WANG_RGB.features(sharp))


def ssim_skimage(restored: Tensor, sharp: Tensor) -> Tensor:
    """SSIM, float64 [N], of uint8 RGB [N, 3, H, W]; see ``SSIM_SKIMAGE.convention``."""
    return SSIM_SKIMAGE.score(restored, SSIM_SKIMAGE.features(sharp))
