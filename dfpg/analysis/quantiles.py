"""Quantiles that intervals ask for thousands of times, each worked out once."""

from __future__ import annotations

from functools import cache

from scipy import stats


@cache
def student(share: float, degrees_of_freedom: float) -> float:
    """Quantile of Student's t.

    Args:
        share: of the distribution below it, in (0, 1).
        degrees_of_freedom: at least 1.
    """
    return float(stats.t.ppf(share, degrees_of_freedom))


@cache
def normal(share: float) -> float:
    """Quantile of the normal distribution with mean 0 and variance 1; see :func:`student`."""
    return float(stats.norm.ppf(share))
