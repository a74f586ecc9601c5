"""Intervals and tests over people, and over kernels where images share them.

Pictures of one person are not independent, nor are images of one kernel, so people and kernels are
the units that are drawn. Over one kind of unit the interval is the studentised bootstrap
("bootstrap-t", Efron and Tibshirani 1993, chapter 12) of the per-image mean, no end of it nearer
than Student's: 40 to 100 people show too little of a skew for either to cover what it says, while
both together do (percentile and BCa intervals cover less still). Where faces and kernels are
crossed, the squared half-widths of both add, and those of single images, which both contain, are
taken away once (Cameron, Gelbach and Miller 2011). A kernel that several subsets share is one unit
of their mean. A test asks how wide an interval excludes zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dfpg.analysis.quantiles import normal, student
from dfpg.analysis.skew import remove_skew
from dfpg.analysis.strata import (
    Array,
    Stratum,
    kernel_strata,
    per_image_mean,
    resample,
    separate_units,
    variance_of_mean,
)

LEAST_PEOPLE = 10  # of fewer people there is neither an interval nor a test


@dataclass(frozen=True)
class Interval:
    """Means and their bounds, each [C]; bounds are NaN where there is no interval."""

    mean: Array
    low: Array
    high: Array


def mean_interval(strata: Sequence[Stratum], level: float = 0.95) -> Interval:
    """Mean over strata of each stratum's per-image mean, with its interval.

    People are drawn within each stratum: subsets of a protocol hold different ones. So are kernels,
    unless strata share some, as protocol A's do: then the kernels of all of them are drawn at once.

    Args:
        strata: same C columns and number of resamples in each. Kernels are drawn where all have
            them.
        level: nominal coverage.

    Returns:
        Interval of C columns. A column with an infinite value, or a stratum of less than
        ``LEAST_PEOPLE``, has no bounds.
    """
    people = [stratum.by_person() for stratum in strata]
    mean = np.mean([per_image_mean(stratum) for stratum in people], axis=0)
    below, above = _reach(people, level)
    if kernels := kernel_strata(strata):
        images = (normal((1 + level) / 2) * _error([separate_units(part) for part in strata])) ** 2
        below, above = (
            np.sqrt(np.maximum(one**2 + np.maximum(two**2 - images, 0), two**2))
            for one, two in zip((below, above), _reach(kernels, level), strict=True)
        )
    if min(stratum.people for stratum in strata) < LEAST_PEOPLE:
        below = np.full_like(below, np.nan)
    return Interval(mean, mean - below, mean + (above + 0 * below))


def rate_interval(stratum: Stratum, level: float = 0.95) -> Interval:
    """Rates of success with their intervals, for columns of zeros and ones.

    The bootstrap fails near 0 and 1, where detection and verification live: with 60 people of two
    images and a true rate of 0.99 its 95 % interval covers 63 % of the time (simulated). This is
    the exact binomial interval (Clopper and Pearson) for the number of independent images that
    has the same standard error as the clustered ones (Korn and Graubard 1998); where all are
    alike, for the number of people, or of kernels where these are fewer.
    """
    rate, error = per_image_mean(stratum.by_person()), _both_errors([stratum])
    units = min(len(part.counts) for part in (stratum.by_person(), *kernel_strata([stratum])))
    if stratum.people < LEAST_PEOPLE:
        return Interval(rate, np.full_like(rate, np.nan), np.full_like(rate, np.nan))
    images = float(stratum.counts.sum())
    tail = (1 - level) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = rate * (1 - rate) / error**2
    effective *= (student(tail, images - 1) / student(tail, units - 1)) ** 2
    effective = np.where(error > 0, np.minimum(effective, images), units)
    hits = rate * effective
    low = np.where(hits > 0, stats.beta.ppf(tail, hits, effective - hits + 1), 0.0)
    high = np.where(rate < 1, stats.beta.ppf(1 - tail, hits + 1, effective - hits), 1.0)
    return Interval(rate, low, high)


class PairedTest(NamedTuple):
    """Student's t, each [C], its degrees of freedom, and the two-sided p."""

    t: Array
    degrees_of_freedom: int
    p: Array


def paired_test(strata: Sequence[Stratum], level: float = 0.95) -> PairedTest:
    """Test that the mean of paired differences is zero; NaN where there is no interval.

    It inverts :func:`mean_interval`: p is below 1 - ``level`` where the interval excludes zero.
    t is the mean over its standard error, after the transformation that takes the skew out of it
    (Hall 1992); the skew is that which takes the interval's quantile to Student's. So p also means
    something where 2,000 resamples end, as Holm's correction needs. Without skew it is Student's.

    Args:
        strata: differences of two methods on the same images.
        level: where the bootstrap's quantile counts.
    """
    interval = mean_interval(strata, level)
    mean, drawn = interval.mean, ([part.by_person() for part in strata], kernel_strata(strata))
    degrees_of_freedom = min(_degrees_of_freedom(units) for units in drawn if units)
    least = student((1 + level) / 2, degrees_of_freedom)
    half = np.where(mean > 0, mean - interval.low, interval.high - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = _both_errors(strata)
        t = np.where(mean == 0, 0.0, remove_skew(np.abs(mean) / error, half / error, least))
    t = np.where((error == 0) & (mean != 0), np.inf, t)  # every image differs by as much
    t = np.where(np.isfinite(half), np.copysign(t, mean), np.nan)
    return PairedTest(t, degrees_of_freedom, 2 * stats.t.sf(np.abs(t), degrees_of_freedom))


def paired_p(strata: Sequence[Stratum], level: float = 0.95) -> Array:
    """Two-sided p [C] of :func:`paired_test`."""
    return paired_test(strata, level).p


def holm(p: ArrayLike) -> Array:
    """Holm's (1979) step-down adjusted p-values of one family; NaN are no tests and stay NaN."""
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(raw, np.nan)
    tests = np.flatnonzero(~np.isnan(raw))
    order = tests[np.argsort(raw[tests], kind="stable")]
    scaled = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _reach(strata: Sequence[Stratum], level: float) -> tuple[Array, Array]:
    """How far an interval over the strata's units goes below and above the mean, each [C]."""
    shift = np.zeros((len(strata[0].draws), strata[0].sums.shape[1]))
    spread = np.zeros_like(shift)
    for stratum in strata:
        moved, variance = resample(stratum)
        shift += moved / len(strata)
        spread += variance / len(strata) ** 2
    pivot = np.divide(shift, np.sqrt(spread), out=np.zeros_like(shift), where=spread > 0)
    tail = (1 - level) / 2
    upper, lower = np.quantile(pivot, [1 - tail, tail], axis=0)
    least, error = student(1 - tail, _degrees_of_freedom(strata)), _error(strata)
    return np.maximum(upper, least) * error, np.maximum(-lower, least) * error


def _degrees_of_freedom(strata: Sequence[Stratum]) -> int:
    """Degrees of freedom of the standard error, at least 1."""
    return max(sum(len(stratum.counts) - 1 for stratum in strata), 1)


def _both_errors(strata: Sequence[Stratum]) -> Array:
    """Standard error [C] of the mean over strata that people and kernels make together."""
    squares = _error([stratum.by_person() for stratum in strata]) ** 2
    if kernels := kernel_strata(strata):
        both, images = _error(kernels) ** 2, _error([separate_units(part) for part in strata]) ** 2
        squares = np.maximum(squares + np.maximum(both - images, 0), both)
    return np.sqrt(squares)


def _error(strata: Sequence[Stratum]) -> Array:
    """Standard error [C] of the mean over strata whose units are independent."""
    variance: Array = np.sum([variance_of_mean(stratum) for stratum in strata], axis=0)
    return np.sqrt(variance) / len(strata)
