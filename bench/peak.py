"""What the device reaches in a plain matrix product: the yardstick of every achieved fraction."""

from __future__ import annotations

import time
from functools import cache
from typing import Literal

import torch

from bench.measure import synchronise

Arithmetic = Literal["fp32", "tf32", "bf16", "fp64"]

DTYPES: dict[Arithmetic, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp64": torch.float64,
}
SIDES = {"cpu": 2048, "cuda": 8192}  # of the square matrices: large enough, still under a second
ROUNDS = 7


@cache
def matmul_peak(device: torch.device, arithmetic: Arithmetic) -> float:
    """FLOP/s of the fastest of ``ROUNDS`` products of square matrices, once per session.

    Args:
        device: where.
        arithmetic: number format of the factors; ``tf32`` differs from ``fp32`` on CUDA only.
    """
    side = SIDES.get(device.type, 2048)
    stream = torch.Generator().manual_seed(0)
    a, b = (torch.randn(side, side, generator=stream).to(device, DTYPES[arithmetic]) for _ in "ab")
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = arithmetic == "tf32"
    try:
        times = []
        for _ in range(ROUNDS + 1):  # the first one warms up
            start = time.perf_counter()
            torch.mm(a, b)
            synchronise(device)
            times.append(time.perf_counter() - start)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / min(times[1:])


def convolution_arithmetic(device: torch.device) -> Arithmetic:
    """Arithmetic of float32 convolutions here: PyTorch lets cuDNN use TF32 unless told not to."""
    return "tf32" if device.type == "cuda" and torch.backends.cudnn.allow_tf32 else "fp32"
