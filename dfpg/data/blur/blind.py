"""Degradations that blind face restoration is trained on: GFPGAN's and DFDNet's.

Blur, reduction, noise and JPEG in this order, then back to the size. The figures are for faces of
512 px. Here the blur scales with the picture's side, so that it is the same on the face; the
reduction does not, but stops at ``LEAST_SIDE`` (both assumed). GFPGAN (Wang et al. 2021, section
4.1) has no motion blur. DFDNet (Li et al. 2020, released code) blurs a third of the blurred
pictures by one of 32 motion kernels, which at 128 px are 3 to 9 px wide.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import REFERENCE_SIZE
from dfpg.core.seeds import generator
from dfpg.data.blur.degrade import blur, quantise, to_signed
from dfpg.data.blur.trajectories import trajectory_kernels

PAPER_SIDE = 512  # px, to which the figures refer
KERNEL = 41  # px, side of the Gaussian kernel
MOTION_KERNELS = 32
MOTION_SIZES = tuple(range(11, 36, 2))  # px, of the motion kernels
LEAST_SIDE = 16  # px, of a reduced picture
UNCOMPRESSED = 0  # quality of a picture that JPEG leaves alone

Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """How a system degrades its training faces.

    Attributes:
        sigma: standard deviation of the Gaussian blur along each axis, px.
        isotropic: share of Gaussian kernels of one width in all directions.
        reduction: factor by which the picture shrinks; below 1 it grows.
        noise: standard deviation, grey levels.
        quality: of JPEG.
        blurred, reduced, noisy, compressed: shares of the pictures that each step touches.
        motion: share of the blurred ones whose kernel is of motion, not Gaussian.
        resampling: of both changes of size; bicubic with antialiasing.
    """

    sigma: Range
    isotropic: float
    reduction: Range
    noise: Range
    quality: Range
    blurred: float = 1.0
    motion: float = 0.0
    reduced: float = 1.0
    noisy: float = 1.0
    compressed: float = 1.0
    resampling: Literal["bilinear", "bicubic"] = "bilinear"


WANG2021 = Recipe(
    sigma=(0.1, 10.0), isotropic=0.5, reduction=(0.8, 8.0), noise=(0.0, 20.0), quality=(60.0, 100.0)
)
LI2020 = Recipe(
    sigma=(0.3, 2.0),
    isotropic=1.0,
    reduction=(2.0, 10.0),
    noise=(1.0, 10.0),
    quality=(40.0, 80.0),
    blurred=0.9,
    motion=0.35,
    reduced=0.95,
    noisy=0.9,
    compressed=0.6,
    resampling="bicubic",
)


@dataclass(frozen=True)
class Degradation:
    """What was drawn for N pictures.

    Attributes:
        kernels: float32 [N, K, K]; a delta where there is no blur.
        sides: side of the reduced picture int64 [N], px.
        noise: standard deviation in grey levels float32 [N].
        quality: of JPEG, int64 [N]; ``UNCOMPRESSED``: none.
        samples: standard normal noise float32 [N, 3, M, M], M the largest reduced side.
        resampling: see :class:`Recipe`.
    """

    kernels: NDArray[np.float32]
    sides: NDArray[np.int64]
    noise: NDArray[np.float32]
    quality: NDArray[np.int64]
    samples: NDArray[np.float32]
    resampling: Literal["bilinear", "bicubic"] = "bilinear"


def draw_degradation(
    rng: np.random.Generator, recipe: Recipe, count: int, side: int, seed: int
) -> Degradation:
    """Draw the degradation of ``count`` pictures of ``side`` px; the number of draws is fixed.

    ``seed`` decides which motion kernels there are to draw from.
    """
    shares = rng.random((count, 13))
    scale = side / PAPER_SIDE
    canvas = 2 * max(1, round(KERNEL * scale / 2 - 0.5)) + 1
    widths = scale * _uniform(recipe.sigma, shares[:, :2])
    widths[:, 1] = np.where(shares[:, 2] < recipe.isotropic, widths[:, 0], widths[:, 1])
    kernels = gaussians(widths, math.pi * shares[:, 3], canvas)
    if recipe.motion:
        chosen = (shares[:, 7] * MOTION_KERNELS).astype(np.int64)
        moved = shares[:, 8] < recipe.motion
        kernels[moved] = motion_kernels(seed, side, canvas)[chosen[moved]]
    kernels[shares[:, 9] >= recipe.blurred] = _delta(canvas)
    least, most = recipe.reduction
    factors = _uniform((least, max(min(most, side / LEAST_SIDE), least)), shares[:, 4])
    factors[shares[:, 10] >= recipe.reduced] = 1
    noise = _uniform(recipe.noise, shares[:, 5])
    quality = np.rint(_uniform(recipe.quality, shares[:, 6]))
    largest = max(side, math.ceil(side / least))
    return Degradation(
        kernels=kernels,
        sides=np.rint(side / factors).astype(np.int64),
        noise=np.where(shares[:, 11] < recipe.noisy, noise, 0).astype(np.float32),
        quality=np.where(shares[:, 12] < recipe.compressed, quality, UNCOMPRESSED).astype(np.int64),
        samples=rng.standard_normal((count, 3, largest, largest), np.float32),
        resampling=recipe.resampling,
    )


@lru_cache(maxsize=4)
def motion_kernels(seed: int, side: int, canvas: int) -> NDArray[np.float32]:
    """``MOTION_KERNELS`` kernels of camera shake [32, canvas, canvas] for pictures of ``side`` px.

    DFDNet's own are measured ones and trajectories of the same kind as these (assumed: of every
    size in ``MOTION_SIZES`` two or three).
    """
    each = -(-MOTION_KERNELS // len(MOTION_SIZES))
    scale = side * REFERENCE_SIZE // PAPER_SIDE  # px per px of a picture of PAPER_SIDE
    parts = [
        trajectory_kernels(generator(seed, "blind", "motion", size), each, size, scale, canvas)
        for size in MOTION_SIZES
    ]
    return np.stack(parts, axis=1).reshape(-1, canvas, canvas)[:MOTION_KERNELS]


def _delta(canvas: int) -> NDArray[np.float32]:
    kernel = np.zeros((canvas, canvas), np.float32)
    kernel[canvas // 2, canvas // 2] = 1
    return kernel


def gaussians(
    widths: NDArray[np.float64], angles: NDArray[np.float64], canvas: int
) -> NDArray[np.float32]:
    """Gaussian kernels [N, canvas, canvas] of sum 1.

    Args:
        widths: standard deviations [N, 2] along the two axes, px.
        angles: of the first axis to the horizontal [N], radians.
        canvas: odd side, px.
    """
    line = np.arange(canvas) - canvas // 2
    y, x = np.meshgrid(line, line, indexing="ij")
    cos, sin = (part[:, None, None] for part in (np.cos(angles), np.sin(angles)))
    along, across = x * cos + y * sin, y * cos - x * sin
    first, second = widths[:, 0, None, None], widths[:, 1, None, None]
    kernels = np.exp(-((along / first) ** 2 + (across / second) ** 2) / 2)
    normalised: NDArray[np.float32] = (kernels / kernels.sum((1, 2), keepdims=True)).astype(
        np.float32
    )
    return normalised


def degrade(images: Tensor, drawn: Degradation) -> Tensor:
    """Degrade images [N, 3, S, S] in [-1, 1]; the result is of the same shape and range.

    Blur runs on the images' device, the rest picture by picture on the CPU.
    """
    kernels = torch.from_numpy(drawn.kernels).to(images.device)
    blurred = blur(images, kernels).cpu()
    side = images.shape[-1]
    rows = zip(blurred, drawn.sides, drawn.noise, drawn.quality, drawn.samples, strict=True)
    results = []
    for image, low, noise, quality, samples in rows:
        small = _resize(image, int(low), drawn.resampling)
        noisy = small + torch.from_numpy(samples[:, :low, :low]) * float(noise / 127.5)
        stored = jpeg(noisy, int(quality)) if quality != UNCOMPRESSED else noisy.clamp(-1, 1)
        results.append(_resize(stored, side, drawn.resampling).clamp(-1, 1))
    return torch.stack(results).to(images.device)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """An image [3, H, W] in [-1, 1] after rounding to 8 bits and JPEG (4:2:0) of ``quality``."""
    buffer = io.BytesIO()
    picture = Image.fromarray(quantise(image).permute(1, 2, 0).numpy())
    picture.save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer, formats=["JPEG"]) as stored:
        decoded = np.array(stored)
    return to_signed(torch.from_numpy(decoded).permute(2, 0, 1))


def _resize(image: Tensor, side: int, resampling: Literal["bilinear", "bicubic"]) -> Tensor:
    smooth = resampling == "bicubic"
    return F.interpolate(
        image[None], (side, side), mode=resampling, align_corners=False, antialias=smooth
    )[0]


def _uniform(limits: Range, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = limits
    return low + (high - low) * shares
