"""An effect over people and training seeds, and how far seeds alone move it.

One training is one draw of a seed. With several, the interval is put together from that over people
and Student's over seeds, whose squared half-widths add (as :mod:`dfpg.analysis.seed_intervals`).
With one, three times the spread that other seeds showed takes the place of the latter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfpg.analysis.people_bootstrap import PairedTest, mean_interval, paired_test
from dfpg.analysis.quantiles import student
from dfpg.analysis.strata import Stratum

SPREADS = 3  # an effect of one seed has to be beyond so many times the spread of the seeds


@dataclass(frozen=True)
class SeedEffect:
    """Mean of paired differences over people and seeds.

    Attributes:
        mean, low, high: in the metric's unit; NaN where there are too few people.
        spread: standard deviation of the seeds' means, or of others' where there is one seed; NaN
            where it was not measured: the bounds are then those over people.
        seeds: number of trainings.
        test: over people, on the mean over the seeds.
    """

    mean: float
    low: float
    high: float
    spread: float
    seeds: int
    test: PairedTest


def seed_effect(
    trainings: Sequence[Sequence[Stratum]], level: float, measured: float = math.nan
) -> SeedEffect:
    """Effect of one comparison.

    Args:
        trainings: strata of paired differences (one column), the same people in each training.
        level: of the interval.
        measured: spread of other comparisons' seeds, for a single training.
    """
    strata = [
        replace(parts[0], sums=np.mean([part.sums for part in parts], axis=0))
        for parts in zip(*trainings, strict=True)
    ]
    interval, test = mean_interval(strata, level), paired_test(strata, level)
    mean, low, high = (float(part[0]) for part in (interval.mean, interval.low, interval.high))
    count = len(trainings)
    spread = seed_spread(trainings) if count > 1 else measured
    reach = SPREADS * spread
    if count > 1:
        reach = student((1 + level) / 2, count - 1) * spread / math.sqrt(count)
    if math.isfinite(reach):
        low, high = mean - math.hypot(mean - low, reach), mean + math.hypot(high - mean, reach)
    return SeedEffect(mean, low, high, spread, count, test)


def seed_spread(trainings: Sequence[Sequence[Stratum]]) -> float:
    """Standard deviation over the trainings of the mean difference; NaN with one."""
    if len(trainings) < 2:
        return math.nan
    means = [
        np.mean([part.sums[:, 0].sum() / part.counts.sum() for part in strata])
        for strata in trainings
    ]
    return float(np.std(means, ddof=1))


def same_people(one: Iterable[Stratum], two: Iterable[Stratum]) -> bool:
    """Whether two trainings were scored on the same people and as many images of each."""
    first, second = [part.counts for part in one], [part.counts for part in two]
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )
