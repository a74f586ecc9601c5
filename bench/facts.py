"""What stands beside every figure: device, versions, commit, arithmetic, load."""

from __future__ import annotations

import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bench.measure import Timing
from bench.peak import Arithmetic, matmul_peak
from dfpg.core.device import describe_device
from dfpg.stages.environment import git_commit

ROOT = Path(__file__).parent.parent


@cache
def provenance() -> dict[str, str | int | None]:
    """Where figures come from, the same for a whole session."""
    facts = describe_device()
    return {
        "device": facts["device"],
        "device_name": facts["device_name"],
        "threads": facts["threads"],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": git_commit(ROOT),
    }


def device_slug(device: str, name: str) -> str:
    """Name for files, e.g. ``cpu-intel-xeon-processor`` or ``cuda-nvidia-h100-80gb-hbm3``."""
    plain = re.sub(r"\((r|tm|c)\)|@.*", " ", name.lower())
    return "-".join([device, *re.findall(r"[a-z0-9]+", plain)])


def figures(
    timing: Timing,
    images: int | None,
    macs: int | None,
    device: torch.device,
    arithmetic: Arithmetic | None,
) -> dict[str, Any]:
    """What a timing amounts to; a value that makes no sense there is None.

    Args:
        timing: with at least one timed round.
        images: images per call.
        macs: multiply-accumulates per call.
        device: whose peak the achieved rate is divided by.
        arithmetic: in which the call's products are computed.
    """
    seconds = sorted(timing.seconds)
    median = torch.tensor(seconds, dtype=torch.float64).quantile(0.5).item()
    found: dict[str, Any] = {
        "best_s": seconds[0],
        "median_s": median,
        "worst_s": seconds[-1],
        "rounds": len(seconds),
        "images_per_s": images / median if images else None,
        "ms_per_image": 1000 * median / images if images else None,
        "gmacs_per_image": macs / images / 1e9 if macs and images else None,
        "gflops": None,
        "peak_gflops": None,
        "fraction_of_peak": None,
        "fraction_of_peak_best": None,
        "peak_memory_mb": timing.peak_bytes / 1e6 if timing.peak_bytes else None,
        "load": timing.load,
    }
    if macs and arithmetic:
        peak = matmul_peak(device, arithmetic)
        found["gflops"] = 2 * macs / median / 1e9
        found["peak_gflops"] = peak / 1e9
        found["fraction_of_peak"] = 2 * macs / median / peak
        found["fraction_of_peak_best"] = 2 * macs / seconds[0] / peak
    return found
