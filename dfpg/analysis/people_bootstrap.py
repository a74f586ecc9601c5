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
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dfpg.analysis.quantiles import normal, student
from dfpg.analysis.skew import remove_skew
from dfpg.core.seeds import generator

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
LEAST_PEOPLE = 10  # of fewer people there is neither an interval nor a test
ROUNDING = 1e-10  # a variance below this share of its terms is rounding error


@dataclass(frozen=True)
class Stratum:
    """Scores of C columns (methods x metrics) on one set of people.

    A unit is a person or, where kernels are drawn too, a person under one kernel.

    Attributes:
        sums: [U, C] sum of each unit's per-image values.
        counts: [U] number of images of each unit.
        draws: [R, P] how often each resample draws each person.
        person: [U] number of each unit's person; None: every unit is a person.
        kernel: [U] number of each unit's kernel; None: kernels are not drawn.
        kernel_draws: [R, K] how often each resample draws each kernel.
        kernel_names: [K]; a name is one kernel in all strata.
        stream: seed and name of the random stream that draws the kernels.
    """

    sums: Array
    counts: Array
    draws: Array
    person: Numbers | None = None
    kernel: Numbers | None = None
    kernel_draws: Array | None = None
    kernel_names: tuple[str, ...] = ()
    stream: tuple[int, tuple[str | int, ...]] = (0, ())

    @property
    def people(self) -> int:
        """Number of people."""
        return int(self.draws.shape[1])

    def by_person(self) -> Stratum:
        """The same scores with people as units."""
        if self.person is None:
            return self
        return _group_units(self, self.person, self.draws)

    def by_kernel(self) -> Stratum | None:
        """The same scores with kernels as units, drawn as people are; None where they are not."""
        if self.kernel is None or self.kernel_draws is None:
            return None
        return _group_units(self, self.kernel, self.kernel_draws)

    def resampled_means(self) -> Array:
        """Per-image mean of every resample of people and kernels, [R, C].

        The shifts of both add. The kernels' is scaled by one number, so that what single images
        add, which the people's has already, is not counted twice.
        """
        people = self.by_person()
        moved = _mean(people) + _resample(people)[0]
        kernels = self.by_kernel()
        if kernels is None:
            return moved
        images, both = (_variance(part).sum() for part in (_separate_units(self), kernels))
        share = max(1 - images / both, 0.0) if both > 0 else 0.0
        return np.asarray(moved + np.sqrt(share) * _resample(kernels)[0])


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
    values: ArrayLike,
    people: Sequence[str],
    resamples: int,
    seed: int,
    *axes: str | int,
    kernels: Sequence[str] | None = None,
) -> Stratum:
    """Aggregate per-image values [N, C] by people [N], and kernels [N], and draw the resamples.

    Of one kernel alone nothing can be drawn: the interval is then over people.
    """
    table = np.asarray(values, dtype=np.float64)
    names, person = np.unique(np.asarray(people, dtype=str), return_inverse=True)
    draws = draw_people(len(names), resamples, seed, *axes)
    if kernels is None or len(set(kernels)) < 2:
        return Stratum(*_total(table, np.ones(len(table)), person, len(names)), draws)
    labels, kernel = np.unique(np.asarray(kernels, dtype=str), return_inverse=True)
    unit, place = np.unique(person * len(labels) + kernel, return_inverse=True)
    return Stratum(
        *_total(table, np.ones(len(table)), place, len(unit)),
        draws,
        unit // len(labels),
        unit % len(labels),
        draw_people(len(labels), resamples, seed, "kernels", *axes),
        tuple(labels.tolist()),
        (seed, ("kernels", *axes)),
    )


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
    mean = np.mean([_mean(stratum) for stratum in people], axis=0)
    below, above = _reach(people, level)
    if kernels := _kernels(strata):
        images = (normal((1 + level) / 2) * _error([_separate_units(part) for part in strata])) ** 2
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
    rate, error = _mean(stratum.by_person()), _both_errors([stratum])
    units = min(len(part.counts) for part in (stratum.by_person(), *_kernels([stratum])))
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
    mean, drawn = interval.mean, ([part.by_person() for part in strata], _kernels(strata))
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


def _kernels(strata: Sequence[Stratum]) -> list[Stratum]:
    """The strata with kernels as units, one where they share some; empty where none are drawn."""
    parts = [part for part in (stratum.by_kernel() for stratum in strata) if part is not None]
    if len(parts) < len(strata):
        return []
    names = [name for stratum in strata for name in stratum.kernel_names]
    shared = len(parts) > 1 and len(set(names)) < len(names)
    return [_join_kernels(strata, parts)] if shared else parts


def _join_kernels(strata: Sequence[Stratum], parts: Sequence[Stratum]) -> Stratum:
    """One stratum with the kernels of all as units, whose mean is the mean over the strata."""
    names = sorted({name for stratum in strata for name in stratum.kernel_names})
    place = {name: number for number, name in enumerate(names)}
    images = sum(part.counts.sum() for part in parts)
    mean = np.mean([_mean(part) for part in parts], axis=0)
    sums, counts = np.zeros((len(names), len(mean))), np.zeros(len(names))
    for stratum, part in zip(strata, parts, strict=True):
        own = [place[name] for name in stratum.kernel_names]
        weight = images / (len(parts) * part.counts.sum())
        counts[own] += weight * part.counts
        sums[own] += weight * (_residuals(part, _mean(part)) + np.outer(part.counts, mean))
    seed, axes = strata[0].stream
    return Stratum(sums, counts, draw_people(len(names), len(parts[0].draws), seed, *axes))


def _reach(strata: Sequence[Stratum], level: float) -> tuple[Array, Array]:
    """How far an interval over the strata's units goes below and above the mean, each [C]."""
    shift = np.zeros((len(strata[0].draws), strata[0].sums.shape[1]))
    spread = np.zeros_like(shift)
    for stratum in strata:
        moved, variance = _resample(stratum)
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
    if kernels := _kernels(strata):
        both, images = _error(kernels) ** 2, _error([_separate_units(part) for part in strata]) ** 2
        squares = np.maximum(squares + np.maximum(both - images, 0), both)
    return np.sqrt(squares)


def _error(strata: Sequence[Stratum]) -> Array:
    """Standard error [C] of the mean over strata whose units are independent."""
    variance: Array = np.sum([_variance(stratum) for stratum in strata], axis=0)
    return np.sqrt(variance) / len(strata)


def _mean(stratum: Stratum) -> Array:
    """Per-image mean [C]."""
    return np.asarray(stratum.sums.sum(axis=0) / stratum.counts.sum())


def _variance(stratum: Stratum) -> Array:
    """Variance [C] of the mean, the units independent; NaN without a finite mean."""
    mean, units = _mean(stratum), len(stratum.counts)
    if units < 2:
        return np.full_like(mean, np.nan)
    squares = (_residuals(stratum, mean) ** 2).sum(axis=0)
    variance = units / (units - 1) * squares / stratum.counts.sum() ** 2
    return np.where(np.isfinite(mean), variance, np.nan)


def _total(values: Array, counts: Array, group: Numbers, groups: int) -> tuple[Array, Array]:
    """Sums [G, C] and counts [G] of the rows of each group."""
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, group, values)
    return sums, np.bincount(group, counts, groups).astype(np.float64)


def _group_units(stratum: Stratum, group: Numbers, draws: Array) -> Stratum:
    """A stratum whose units are groups of the units given."""
    return Stratum(*_total(stratum.sums, stratum.counts, group, draws.shape[1]), draws)


def _separate_units(stratum: Stratum) -> Stratum:
    """A stratum whose units are taken as independent."""
    return Stratum(stratum.sums, stratum.counts, stratum.draws)


def _residuals(stratum: Stratum, centre: Array) -> Array:
    """Each person's sum minus what the mean predicts, [P, C]; zero in columns without a mean."""
    finite = np.isfinite(centre)
    residuals = np.zeros_like(stratum.sums)
    residuals[:, finite] = stratum.sums[:, finite] - np.outer(stratum.counts, centre[finite])
    return residuals


def _resample(stratum: Stratum) -> tuple[Array, Array]:
    """Shift of each resample's mean from the sample's, and its own variance, both [R, C]."""
    people, residuals = len(stratum.counts), _residuals(stratum, _mean(stratum))
    counts = stratum.counts[:, None]
    images = stratum.draws @ counts
    shift = stratum.draws @ residuals / images
    squares = stratum.draws @ residuals**2
    spread = squares - 2 * shift * (stratum.draws @ (residuals * counts))
    spread += shift**2 * (stratum.draws @ counts**2)
    spread[spread < ROUNDING * squares] = 0.0
    return shift, spread * people / max(people - 1, 1) / images**2
