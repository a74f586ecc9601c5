"""Shared by the benchmarks: device, inputs, and what is recorded beside each time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dfpg.device import describe_device, select_device

BATCH = 16
SIZE = 64  # px, the embedded profile's


@pytest.fixture(scope="session")
def device() -> torch.device:
    return select_device()


@pytest.fixture(scope="session")
def images(device: torch.device) -> Tensor:
    """Seeded noise images, float [BATCH, 3, SIZE, SIZE] in [-1, 1]."""
    stream = torch.Generator().manual_seed(0)
    return (torch.rand((BATCH, 3, SIZE, SIZE), generator=stream) * 2 - 1).to(device)


@pytest.fixture
def measure(benchmark, device: torch.device) -> Callable[..., object]:
    """Times a call on BATCH images: warm-up, device synchronised; records images per second."""

    def run(action: Callable[[], object]) -> object:
        def synchronised() -> object:
            result = action()
            if device.type == "cuda":
                torch.cuda.synchronize()
            return result

        result = benchmark.pedantic(synchronised, rounds=7, iterations=1, warmup_rounds=2)
        benchmark.extra_info.update(
            describe_device(), batch=BATCH, image_size=SIZE, torch=torch.__version__
        )
        if benchmark.stats is not None:  # None with --benchmark-disable
            median = benchmark.stats.stats.median
            benchmark.extra_info["images_per_s"] = round(BATCH / median, 2)
        return result

    return run
