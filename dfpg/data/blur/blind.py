"""Degradation of blind face restoration: no motion blur (GFPGAN, Wang et al. 2021, section 4.1).

Gaussian blur, reduction, noise and JPEG in this order, then back to the size. The paper states the
figures for faces of 512 px. Here the blur's width scales with the picture's side, so that it is the
same on the face; the reduction does not, but stops at ``LEAST_SIDE`` (both assumed).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.data.blur.degrade import blur, quantise, to_signed

PAPER_SIDE = 512  # px, to which the figures refer
KERNEL = 41  # px, side of the Gaussian kernel
SIGMA = (0.1, 10.0)  # px, standard deviation along each axis
ISOTROPIC = 0.5  # share of kernels of one width in all directions
REDUCTION = (0.8, 8.0)  # below 1: enlarged
NOISE = (0.0, 20.0)  # grey levels, standard deviation
QUALITY = (60.0, 100.0)  # of JPEG
LEAST_SIDE = 16  # px, of a reduced picture


@dataclass(frozen=True)
class Degradation:
    """What was drawn for N pictures.

    Attributes:
        kernels: Gaussian kernels float32 [N, K, K].
        sides: side of the reduced picture int64 [N], px.
        noise: standard deviation in grey levels float32 [N].
        quality: of JPEG, int64 [N].
        samples: standard normal noise float32 [N, 3, M, M], M the largest reduced side.
    """

    kernels: NDArray[np.float32]
    sides: NDArray[np.int64]
    noise: NDArray[np.float32]
    quality: NDArray[np.int64]
    samples: NDArray[np.float32]


def draw_degradation(rng: np.random.Generator, count: int, side: int) -> Degradation:
    """Draw the degradation of ``count`` pictures of ``side`` px; the number of draws is fixed."""
    shares = rng.random((count, 7))
    scale = side / PAPER_SIDE
    widths = scale * _between(SIGMA, shares[:, :2])
    widths[:, 1] = np.where(shares[:, 2] < ISOTROPIC, widths[:, 0], widths[:, 1])
    canvas = 2 * max(1, round(KERNEL * scale / 2 - 0.5)) + 1
    most = min(REDUCTION[1], side / LEAST_SIDE)
    factors = _between((REDUCTION[0], max(most, REDUCTION[0])), shares[:, 4])
    largest = math.ceil(side / REDUCTION[0])
    return Degradation(
        kernels=gaussians(widths, math.pi * shares[:, 3], canvas),
        sides=np.rint(side / factors).astype(np.int64),
        noise=_between(NOISE, shares[:, 5]).astype(np.float32),
        quality=np.rint(_between(QUALITY, shares[:, 6])).astype(np.int64),
        samples=rng.standard_normal((count, 3, largest, largest), np.float32),
    )


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
        small = _resized(image, int(low))
        noisy = small + torch.from_numpy(samples[:, :low, :low]) * float(noise / 127.5)
        results.append(_resized(jpeg(noisy, int(quality)), side))
    return torch.stack(results).to(images.device)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """An image [3, H, W] in [-1, 1] after rounding to 8 bits and JPEG (4:2:0) of ``quality``."""
    buffer = io.BytesIO()
    picture = Image.fromarray(quantise(image).permute(1, 2, 0).numpy())
    picture.save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer, formats=["JPEG"]) as stored:
        decoded = np.array(stored)
    return to_signed(torch.from_numpy(decoded).permute(2, 0, 1))


def _resized(image: Tensor, side: int) -> Tensor:
    return F.interpolate(image[None], (side, side), mode="bilinear", align_corners=False)[0]


def _between(limits: tuple[float, float], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = limits
    return low + (high - low) * shares
