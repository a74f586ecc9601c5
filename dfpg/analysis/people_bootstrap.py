"""Intervals and tests over people.

Pictures of one person are not independent, so people are the unit that is drawn. The interval is
the studentised bootstrap ("bootstrap-t", Efron and Tibshirani 1993, chapter 12) of the per-image
mean, no end of it nearer than Student's: 40 to 100 people show too little of a skew for either to
cover what it says, while both together do (percentile and BCa intervals cover less still).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dfpg.core.seeds import generator

Array = NDArray[np.float64]
ROUNDING = 1e-10  # a variance below this share of its terms is rounding error


@dataclass(frozen=True)
class Stratum:
    """Scores of C columns (methods x metrics) on one set of people.

    Attributes:
        sums: [P, C] sum of each person's per-image values.
        counts: [P] number of images of each person.
        draws: [R, P] how often each resample draws each person.
    """

    sums: Array
    counts: Array
    draws: Array


@dataclass(frozen=True)
class Interval:
    """Means and their bounds, each [C]; bounds are NaN where there is no interval."""

    mean: Array
    low: Array
    high: Array


def draw_people(people: int, resamples: int, seed: int, *axes: str | int) -> Array:
    """Resamples of ``people`` people with replacement, as counts [R, P] that sum to P.

    One such matrix serves every method and metric of a subset, so that differences are paired.
    """
    rng = generator(seed, "bootstrap", *axes)
    shares = np.full(people, 1 / people)
    return rng.multinomial(people, shares, size=resamples).astype(np.float64)


def make_stratum(
    values: ArrayLike, people: Sequence[str], resamples: int, seed: int, *axes: str | int
) -> Stratum:
    """Aggregate per-image values [N, C] of the people [N] and draw the resamples."""
    table = np.asarray(values, dtype=np.float64)
    names, position = np.unique(np.asarray(people, dtype=str), return_inverse=True)
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, position, table)
    counts = np.bincount(position).astype(np.float64)
    return Stratum(sums, counts, draw_people(len(names), resamples, seed, *axes))


def mean_interval(strata: Sequence[Stratum], level: float = 0.95) -> Interval:
    """Mean over strata of each stratum's per-image mean, with its interval.

    People are drawn within each stratum (the subsets of a protocol hold different people).

    Args:
        strata: same C columns and number of resamples in each.
        level: nominal coverage.

    Returns:
        Interval of C columns. A column with an infinite value, or a stratum of one person, has
        no bounds.
    """
    share = len(strata) ** 2
    mean, error = _estimate(strata)
    shift = np.zeros((len(strata[0].draws), len(mean)))
    spread = np.zeros_like(shift)
    for stratum in strata:
        moved, variance = _resample(stratum)
        shift += moved / len(strata)
        spread += variance / share
    pivot = np.divide(shift, np.sqrt(spread), out=np.zeros_like(shift), where=spread > 0)
    tail = (1 - level) / 2
    upper, lower = np.quantile(pivot, [1 - tail, tail], axis=0)
    student = stats.t.ppf(1 - tail, _degrees_of_freedom(strata))
    upper, lower = np.maximum(upper, student), np.minimum(lower, -student)
    return Interval(mean, mean - upper * error, mean - lower * error)


def rate_interval(stratum: Stratum, level: float = 0.95) -> Interval:
    """Rates of success with their intervals, for columns of zeros and ones.

    The bootstrap fails near 0 and 1, where detection and verification live: with 60 people of two
    images and a true rate of 0.99 its 95 % interval covers 63 % of the time (simulated). This is
    the exact binomial interval (Clopper and Pearson) for the number of independent images that
    has the same standard error as the clustered ones (Korn and Graubard 1998); where all are
    alike, for the number of people.
    """
    (rate, error), people = _estimate([stratum]), len(stratum.counts)
    if people < 2:
        return Interval(rate, np.full_like(rate, np.nan), np.full_like(rate, np.nan))
    images = float(stratum.counts.sum())
    tail = (1 - level) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = rate * (1 - rate) / error**2
    effective *= (stats.t.ppf(tail, images - 1) / stats.t.ppf(tail, people - 1)) ** 2
    effective = np.where(error > 0, np.minimum(effective, images), people)
    hits = rate * effective
    low = np.where(hits > 0, stats.beta.ppf(tail, hits, effective - hits + 1), 0.0)
    high = np.where(rate < 1, stats.beta.ppf(1 - tail, hits + 1, effective - hits), 1.0)
    return Interval(rate, low, high)


class PairedTest(NamedTuple):
    """Student's t, each [C], its degrees of freedom, and the two-sided p."""

    t: Array
    degrees_of_freedom: int
    p: Array


def paired_test(strata: Sequence[Stratum]) -> PairedTest:
    """Test that the mean of paired differences is zero.

    A t-test whose standard error counts people, not images; with one image per person it is the
    usual paired t-test. ``strata`` hold differences of two methods on the same images.
    """
    mean, error = _estimate(strata)
    degrees_of_freedom = _degrees_of_freedom(strata)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(mean == 0, 0.0, mean / error)
    statistic = np.where(np.isfinite(error), statistic, np.nan)
    return PairedTest(
        statistic, degrees_of_freedom, 2 * stats.t.sf(np.abs(statistic), degrees_of_freedom)
    )


def paired_p(strata: Sequence[Stratum]) -> Array:
    """Two-sided p [C] of :func:`paired_test`."""
    return paired_test(strata).p


def holm(p: ArrayLike) -> Array:
    """Holm's (1979) step-down adjusted p-values of one family; NaN are no tests and stay NaN."""
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full_like(raw, np.nan)
    tests = np.flatnonzero(~np.isnan(raw))
    order = tests[np.argsort(raw[tests], kind="stable")]
    scaled = raw[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _degrees_of_freedom(strata: Sequence[Stratum]) -> int:
    """Degrees of freedom of the standard error, at least 1."""
    return max(sum(len(stratum.counts) - 1 for stratum in strata), 1)


def _estimate(strata: Sequence[Stratum]) -> tuple[Array, Array]:
    """Mean over strata and its standard error, each [C]."""
    means = [stratum.sums.sum(axis=0) / stratum.counts.sum() for stratum in strata]
    mean: Array = np.mean(means, axis=0)
    variance = np.zeros_like(mean)
    for stratum, centre in zip(strata, means, strict=True):
        people = len(stratum.counts)
        if people < 2:
            variance[:] = np.nan
            continue
        squares = (_residuals(stratum, centre) ** 2).sum(axis=0)
        variance += people / (people - 1) * squares / stratum.counts.sum() ** 2
    variance[~np.isfinite(mean)] = np.nan
    return mean, np.sqrt(variance) / len(strata)


def _residuals(stratum: Stratum, centre: Array) -> Array:
    """Each person's sum minus what the mean predicts, [P, C]; zero in columns without a mean."""
    finite = np.isfinite(centre)
    residuals = np.zeros_like(stratum.sums)
    residuals[:, finite] = stratum.sums[:, finite] - np.outer(stratum.counts, centre[finite])
    return residuals


def _resample(stratum: Stratum) -> tuple[Array, Array]:
    """Shift of each resample's mean from the sample's, and its own variance, both [R, C]."""
    centre = stratum.sums.sum(axis=0) / stratum.counts.sum()
    people = len(stratum.counts)
    residuals = _residuals(stratum, centre)
    counts = stratum.counts[:, None]
    images = stratum.draws @ counts
    shift = stratum.draws @ residuals / images
    squares = stratum.draws @ residuals**2
    spread = squares - 2 * shift * (stratum.draws @ (residuals * counts))
    spread += shift**2 * (stratum.draws @ counts**2)
    spread[spread < ROUNDING * squares] = 0.0
    return shift, spread * people / max(people - 1, 1) / images**2
