"""Copies of tensors from the CPU to the device that trains."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU's on ``device``.

    To CUDA it goes from pinned memory, so that the caller does not wait for it: what the caller
    puts on its stream next does.
    """
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
