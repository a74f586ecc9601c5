"""Intervals over people and training seeds together.

Scores of several trainings vary for two reasons: other people would have been drawn, and other
seeds. Both are sampled, seeds a few times only: a bootstrap of three seeds covers far less than it
says (``tests/analysis/test_seed_intervals.py`` simulates it). So the interval is put together from
two that hold at their own numbers, the bootstrap-t over people
(:mod:`dfpg.analysis.people_bootstrap`) and Student's t over seeds, whose squared half-widths add
(the variances-recovery rule of Zou and Donner 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dfpg.analysis.people_bootstrap import Array, Interval, Stratum, draw_people, mean_interval


@dataclass(frozen=True)
class SeedScores:
    """Scores of one training seed, subset by subset.

    Attributes:
        values: per subset per-image values [N, C], the same C columns everywhere.
        people: per subset the person of each image [N]; a name is one person in all seeds.
    """

    values: tuple[Array, ...]
    people: tuple[tuple[str, ...], ...]


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
    names = sorted({person for one in seeds for part in one.people for person in part})
    if len(seeds) < 2 or len(names) < 2:
        raise ValueError(f"{len(seeds)} seeds of {len(names)} people: two of each are needed")
    found = [_influences(one, names) for one in seeds]
    means, parts = np.stack([mean for mean, _ in found]), np.stack([part for _, part in found])
    mean, own = means.mean(axis=0), parts.mean(axis=0)
    # Everyone's influence as if it were an image of theirs: the mean over people is the mean.
    everyone = Stratum(
        mean + len(names) * own,
        np.ones(len(names)),
        draw_people(len(names), resamples, seed, *axes),
    )
    people = mean_interval([everyone], level)
    total = (own**2).sum(axis=0)
    apart = parts.var(axis=0, ddof=1).sum(axis=0) / len(seeds)
    shared = np.divide(total - apart, total, out=np.zeros_like(total), where=total > apart)
    with np.errstate(invalid="ignore"):
        spread = means.std(axis=0, ddof=1)
    reach = stats.t.ppf((1 + level) / 2, len(seeds) - 1) * spread / np.sqrt(len(seeds))
    below = np.sqrt(shared * (mean - people.low) ** 2 + reach**2)
    above = np.sqrt(shared * (people.high - mean) ** 2 + reach**2)
    return SeedInterval(Interval(mean, mean - below, mean + above), spread, shared)


def _influences(one: SeedScores, names: Sequence[str]) -> tuple[Array, Array]:
    """Mean over subsets [C] of one seed, and how far each person moves it [P, C]; absent: zero."""
    place = {name: number for number, name in enumerate(names)}
    means = [part.mean(axis=0) for part in one.values]
    moved = np.zeros((len(names), len(means[0])))
    for values, people, mean in zip(one.values, one.people, means, strict=True):
        rows = [place[person] for person in people]
        with np.errstate(invalid="ignore"):  # the PSNR of equal images is infinite
            np.add.at(moved, rows, (values - mean) / (len(values) * len(means)))
    return np.mean(means, axis=0), moved
