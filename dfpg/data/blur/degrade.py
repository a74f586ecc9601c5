"""Degradation of sharp faces: blur, noise and 8-bit quantisation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def blur(images: Tensor, kernels: Tensor) -> Tensor:
    """True convolution of every image with its own kernel, with reflected borders.

    Always in float32, whatever autocast says. A delta kernel gives the input back exactly.

    Args:
        images: float32 [N, C, H, W].
        kernels: float32 [N, K, K], K odd and at most 2 min(H, W) - 1.

    Returns:
        Blurred images [N, C, H, W].
    """
    count, channels, height, width = images.shape
    half = kernels.shape[-1] // 2
    if kernels.shape != (count, 2 * half + 1, 2 * half + 1):
        raise ValueError(
            f"kernels {tuple(kernels.shape)} do not fit {count} images: [N, K, K], odd"
        )
    padded = F.pad(images, (half, half, half, half), mode="reflect")
    stacked = padded.reshape(1, count * channels, height + 2 * half, width + 2 * half)
    # conv2d is a correlation, so the kernel is flipped. One group per image and channel measures
    # faster than the FFT, except for 27 x 27 kernels at 128 px.
    weights = kernels.flip(-1, -2).repeat_interleave(channels, 0).unsqueeze(1)
    with torch.autocast(images.device.type, enabled=False):
        blurred = F.conv2d(stacked, weights, groups=count * channels)
    return blurred.reshape(images.shape)


def add_noise(images: Tensor, noise: Tensor, grey_levels: float, white: float) -> Tensor:
    """Add Gaussian noise; nothing is clamped.

    Args:
        images: float [N, C, H, W].
        noise: standard normal samples of the same shape.
        grey_levels: standard deviation in steps of an 8-bit image.
        white: difference of white and black in the scale of ``images``: 1 or 2.
    """
    return images + noise * (grey_levels * white / 255)


def to_unit(images: Tensor) -> Tensor:
    """Scale uint8 to float32 in [0, 1]."""
    return images.to(torch.float32) / 255


def to_signed(images: Tensor) -> Tensor:
    """Scale uint8 to float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1


def quantise_unit(images: Tensor) -> Tensor:
    """Scale, round and clip [0, 1] to uint8."""
    return (images * 255).round().clamp(0, 255).to(torch.uint8)


def quantise(images: Tensor) -> Tensor:
    """Scale, round and clip [-1, 1] to uint8; gives the input of :func:`to_signed` back exactly."""
    return ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
