"""Convolutions written out for filters with the axes of TensorFlow and MatConvNet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def conv(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    """Every output is the sum over a window; ``weight`` is [k, k, in, out], zeros around."""
    size, _, inputs, _ = weight.shape
    padding = (size - stride + 1) // 2
    height, width = (n // stride for n in x.shape[-2:])
    windows = F.unfold(x, size, padding=padding, stride=stride)
    windows = windows.unflatten(1, (inputs, size, size))
    return torch.einsum("niabl,abio->nol", windows, weight).unflatten(2, (height, width))


def transposed(x: Tensor, weight: Tensor) -> Tensor:
    """Every input is spread over a window at twice the size; ``weight`` is [4, 4, out, in]."""
    height, width = (2 * n for n in x.shape[-2:])
    spread = torch.einsum("nil,aboi->noabl", x.flatten(2), weight).flatten(1, 3)
    return F.fold(spread, (height, width), 4, padding=1, stride=2)
