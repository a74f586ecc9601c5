"""Intervals over people, kernels and training seeds together.

Scores of several trainings vary for two reasons: other people and kernels would have been drawn,
and other seeds. All are sampled, seeds a few times only: a bootstrap of three seeds covers far less
than it says (``tests/analysis/test_seed_intervals.py`` simulates it). So the interval is put
together from parts that hold at their own numbers, the bootstrap-t over people and kernels
(:mod:`dfpg.analysis.people_bootstrap`) and Student's t over seeds, whose squared half-widths add
(the variances-recovery rule of Zou and Donner 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfpg.analysis.people_bootstrap import Interval, mean_interval
from dfpg.analysis.quantiles import normal, student
from dfpg.analysis.strata import Array, Stratum, draw_people


@dataclass(frozen=True)
class SeedScores:
    """Scores of one training seed, subset by subset.

    Attributes:
        values: per subset per-image values [N, C], the same C columns everywhere.
        people: per subset the person of each image [N]; a name is one person in all seeds.
        kernels: likewise each image's kernel; empty: kernels are not drawn.
    """

    values: tuple[Array, ...]
    people: tuple[tuple[str, ...], ...]
    kernels: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class SeedInterval:
    """Mean over seeds with its interval over people and seeds, each [C].

    Attributes:
        interval: mean over seeds of the mean over subsets of the per-image mean.
        spread: standard deviation of the seeds' means.
        shared: share of the variance over people that all seeds have in common.
    """

    interval: Interval
    spread: Array
    shared: Array


def seed_interval(
    seeds: Sequence[SeedScores], resamples: int, seed: int, *axes: str | int, level: float = 0.95
) -> SeedInterval:
    """Interval of the mean that other people and another set of seeds would have given.

    The variance over people is split: what a person adds in every training alike is in the
    interval over people; what differs from training to training (also because the images do) is in
    the scatter of the seeds' means already, and is not counted twice. Where the seeds have no
    person in common, only the scatter is left.

    Args:
        seeds: two or more trainings, of one method, or differences of two methods.
        resamples: of the people.
        seed: of the resamples, with its ``axes``.
        axes: names of the stream.
        level: nominal coverage.

    Raises:
        ValueError: fewer than two seeds, or fewer than two people.
    """
    people = [one.people for one in seeds]
    count = len({person for one in people for part in one for person in part})
    if len(seeds) < 2 or count < 2:
        raise ValueError(f"{len(seeds)} seeds of {count} people: two of each are needed")
    means = np.stack([_means(one) for one in seeds])
    below, above, shared = _reach_over(seeds, people, resamples, seed, *axes, level=level)
    if all(one.kernels for one in seeds):
        kernels = [one.kernels for one in seeds]
        both = _reach_over(seeds, kernels, resamples, seed, "kernels", *axes, level=level)
        images = (
            normal((1 + level) / 2) ** 2 * _shared_variance(_influences(seeds, _cross(seeds)))[0]
        )
        below, above = (
            np.maximum(one + np.maximum(two - images, 0), two)
            for one, two in zip((below, above), both[:2], strict=True)
        )
    mean = means.mean(axis=0)
    with np.errstate(invalid="ignore"):
        spread = means.std(axis=0, ddof=1)
    reach = student((1 + level) / 2, len(seeds) - 1) * spread / np.sqrt(len(seeds))
    low, high = mean - np.sqrt(below + reach**2), mean + np.sqrt(above + reach**2)
    return SeedInterval(Interval(mean, low, high), spread, shared)


Labels = Sequence[tuple[tuple[str, ...], ...]]  # by seed and subset the unit of each image


def _reach_over(
    seeds: Sequence[SeedScores],
    labels: Labels,
    resamples: int,
    seed: int,
    *axes: str | int,
    level: float,
) -> tuple[Array, Array, Array]:
    """Squared half-widths below and above that all seeds share, and the share, each [C]."""
    parts = _influences(seeds, labels)
    own, units = parts.mean(axis=0), parts.shape[1]
    # Every unit's influence as if it were one image: the mean over units is the mean, here zero.
    everyone = Stratum(units * own, np.ones(units), draw_people(units, resamples, seed, *axes))
    found = mean_interval([everyone], level)
    _, shared = _shared_variance(parts)
    with np.errstate(invalid="ignore"):
        below, above = (shared * (bound - found.mean) ** 2 for bound in (found.low, found.high))
    return below, above, shared


def _shared_variance(parts: Array) -> tuple[Array, Array]:
    """Variance [C] of influences [S, U, C] that all seeds have in common, and its share of all."""
    total = (parts.mean(axis=0) ** 2).sum(axis=0)
    apart = parts.var(axis=0, ddof=1).sum(axis=0) / len(parts)
    shared = np.maximum(total - apart, 0)
    return shared, np.divide(shared, total, out=np.zeros_like(total), where=total > 0)


def _cross(seeds: Sequence[SeedScores]) -> Labels:
    """Units of a person under a kernel."""
    return [
        tuple(
            tuple(f"{person}/{kernel}" for person, kernel in zip(*pair, strict=True))
            for pair in zip(one.people, one.kernels, strict=True)
        )
        for one in seeds
    ]


def _means(one: SeedScores) -> Array:
    """Mean over subsets of the per-image means, [C]."""
    mean: Array = np.mean([part.mean(axis=0) for part in one.values], axis=0)
    return mean


def _influences(seeds: Sequence[SeedScores], labels: Labels) -> Array:
    """How far each unit moves each seed's mean, [S, U, C]; zero where it is absent."""
    names = sorted({name for one in labels for part in one for name in part})
    place = {name: number for number, name in enumerate(names)}
    moved = np.zeros((len(seeds), len(names), seeds[0].values[0].shape[1]))
    for number, (one, units) in enumerate(zip(seeds, labels, strict=True)):
        for values, own in zip(one.values, units, strict=True):
            with np.errstate(invalid="ignore"):  # the PSNR of equal images is infinite
                shares = (values - values.mean(axis=0)) / (len(values) * len(one.values))
            np.add.at(moved[number], [place[name] for name in own], shares)
    return moved
