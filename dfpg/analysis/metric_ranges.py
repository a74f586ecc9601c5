"""What values a metric can take: no interval goes beyond them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dfpg.analysis.people_bootstrap import Interval
from dfpg.analysis.strata import Array

# By the beginning of a convention's name. Detection and verification are in percent.
RANGES = {
    "psnr": (0.0, math.inf),
    "ssim": (-1.0, 1.0),
    "lpips": (0.0, math.inf),
    "d_vgg": (0.0, math.inf),
}
PERCENT = (0.0, 100.0)


def metric_range(convention: str) -> tuple[float, float]:
    """Lowest and highest value of a convention."""
    return next((RANGES[kind] for kind in RANGES if convention.startswith(kind)), PERCENT)


def clip_values(interval: Interval, conventions: Sequence[str]) -> Interval:
    """An interval [C] of values, cut off at the range of each column's convention."""
    low, high = np.reshape([metric_range(name) for name in conventions], (-1, 2)).T
    return _clip(interval, low, high)


def clip_differences(interval: Interval, conventions: Sequence[str]) -> Interval:
    """An interval [C] of differences of two values, cut off at the greatest difference."""
    low, high = np.reshape([metric_range(name) for name in conventions], (-1, 2)).T
    return _clip(interval, low - high, high - low)


def _clip(interval: Interval, low: Array, high: Array) -> Interval:
    return Interval(
        interval.mean, np.clip(interval.low, low, high), np.clip(interval.high, low, high)
    )
