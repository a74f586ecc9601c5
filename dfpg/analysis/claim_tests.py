"""Every comparison of a claim against our scores: its effect over people and seeds, its outcome.

A comparison *holds*, or is *reversed*, where three things agree: the paired test over people after
Holm's correction over the comparisons of the claim, the interval over people and seeds, and the
size of the effect, which reaches the metric's margin (:mod:`dfpg.paper.margins`). It is *too small*
where that whole interval lies within the margin, and *open* otherwise. Rows that do not beat a
fixed filter are not tested (:mod:`dfpg.analysis.floor`), nor are two that saw different numbers of
training images, unless the shorter training is as long as its own paper's.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

from dfpg.analysis.barriers import (
    NOT_MEASURED,
    NOT_TESTED,
    Scores,
    find_absence,
    find_barrier,
    runs_of,
)
from dfpg.analysis.floor import Floor
from dfpg.analysis.people_bootstrap import holm
from dfpg.analysis.seed_effects import same_people, seed_effect, seed_spread
from dfpg.analysis.strata import Stratum
from dfpg.analysis.study_records import MechanismRecord
from dfpg.analysis.training_cost import Length
from dfpg.core.config import Config
from dfpg.paper.claims import Comparison
from dfpg.paper.margins import MARGINS
from dfpg.paper.published import published_value
from dfpg.paper.tables import BASELINES, CLASSICAL, MEAN, Cell

HOLDS, REVERSED, SMALL, OPEN = "holds", "reversed", "too small", "open"
NO_SPREAD = "the spread of the seeds was not measured"
NOT_SEEN = "no training of {} with these scores shows what the claim takes for granted"
PAIRS = 3  # of runs whose seeds show a spread before other pairs are held against it
UNTRAINED = frozenset((*BASELINES, *CLASSICAL))

Idle = Mapping[str, Collection[int]]  # by run the seeds of trainings without a mechanism


class Kind(NamedTuple):
    """Metric of a column, and whether the column is a mean over subsets, which seeds move less."""

    metric: str
    mean: bool


@dataclass(frozen=True)
class Evidence:
    """What claims are judged on.

    Attributes:
        scores: of the trainings in the tables.
        seeds: by seed those of trainings that differ from them in their seed alone.
        floor: None: not asked for.
        mechanisms: records of ``mechanisms.csv``.
        spreads: :func:`largest_spreads`.
        lengths: of the runs' trainings; empty: not asked for.
    """

    scores: Scores
    seeds: Mapping[int, Scores] = field(default_factory=dict)
    floor: Floor | None = None
    mechanisms: tuple[MechanismRecord, ...] = ()
    spreads: Mapping[Kind, float] = field(default_factory=dict)
    lengths: Mapping[str, Length] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        scores: Scores,
        seeds: Mapping[int, Scores] | None = None,
        floor: Floor | None = None,
        mechanisms: Sequence[MechanismRecord] = (),
        lengths: Mapping[str, Length] | None = None,
    ) -> Evidence:
        """Evidence with the largest spreads that the seeds show."""
        evidence = cls(scores, seeds or {}, floor, tuple(mechanisms), lengths=lengths or {})
        return replace(evidence, spreads=largest_spreads(evidence))


@dataclass(frozen=True)
class ComparisonOutcome:
    """A comparison's test; the effect is positive where the claim is right.

    Attributes:
        missing: why there is none; empty where there is one, else the numbers are NaN.
        low, high: over people and seeds.
        spread: standard deviation of the seeds' effects; NaN: not measured.
        seeds: number of trainings.
        p_holm: adjusted within the claim.
        outcome: see the module.
    """

    comparison: Comparison
    missing: str = ""
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    spread: float = math.nan
    seeds: int = 0
    t: float = math.nan
    degrees_of_freedom: int = 0
    p: float = math.nan
    p_holm: float = math.nan
    images: int = 0
    people: int = 0
    convention: str = ""
    outcome: str = NOT_MEASURED


def run_tests(
    config: Config,
    evidence: Evidence,
    comparisons: Sequence[Comparison],
    off_task: Sequence[str] = (),
    idle: Idle | None = None,
) -> list[ComparisonOutcome]:
    """Test the comparisons of one claim, which are one family.

    Args:
        config: the profile.
        evidence: see there.
        comparisons: of the claim.
        off_task: rows that the floor is not asked of.
        idle: trainings that are left out, see :func:`dfpg.analysis.mechanisms.idle_trainings`. A
            comparison with no others is not tested; its effect is that of all trainings.
    """
    outcomes = [
        _run_test(config, evidence, comparison, off_task, idle or {}) for comparison in comparisons
    ]
    adjusted = holm([outcome.p for outcome in outcomes]).tolist()
    alpha = 1 - config.statistics.level
    return [
        replace(outcome, p_holm=p_holm, outcome=outcome_of(outcome, p_holm < alpha))
        for outcome, p_holm in zip(outcomes, adjusted, strict=True)
    ]


def outcome_of(found: ComparisonOutcome, significant: bool) -> str:
    """Outcome of a comparison whose test over people says that it differs, or not."""
    if found.missing:
        return found.outcome
    if math.isnan(found.spread):
        return OPEN
    comparison = found.comparison
    margin = MARGINS[comparison.cell.metric].value
    if comparison.margin:  # the claim is of a gain below that margin: no effect is too small
        margin = 0.0
    if -margin < found.low and found.high < margin:
        return SMALL
    if significant and found.low > 0 and found.effect >= margin:
        return HOLDS
    if significant and found.high < 0 and found.effect <= -margin:
        return REVERSED
    return OPEN


def largest_spreads(evidence: Evidence) -> dict[Kind, float]:
    """Largest spread over seeds that any pair of runs shows in any column of a kind.

    A single training of another pair is held against it. A kind is left out where the seeds show
    fewer than :data:`PAIRS` pairs of runs: a few may be steadier than the rest.
    """
    found: dict[Kind, dict[tuple[str, str], float]] = {}
    for cell, paired in evidence.scores.items():
        seeded = [scores[cell] for scores in evidence.seeds.values() if cell in scores]
        trained = set(paired.runs) & {run for one in seeded for run in one.runs}
        for pair in combinations(sorted(trained - UNTRAINED), 2):
            first = paired.differences([pair])
            others = [one.differences([pair]) for one in seeded if set(pair) <= set(one.runs)]
            spread = seed_spread([first, *(part for part in others if same_people(part, first))])
            if math.isfinite(spread):
                pairs = found.setdefault(kind_of(cell), {})
                pairs[pair] = max(spread, pairs.get(pair, 0.0))
    return {kind: max(pairs.values()) for kind, pairs in found.items() if len(pairs) >= PAIRS}


def kind_of(cell: Cell) -> Kind:
    """Columns whose seeds' spreads are held against each other."""
    return Kind(cell.metric, cell.column.subset == MEAN)


def published_effect(comparison: Comparison) -> float:
    """The comparison's effect in the paper's own figures; NaN where it prints none."""
    columns = [comparison.cell.column]
    if comparison.against is not None:
        columns.append(comparison.against)
    gains = []
    for column in columns:
        cell = comparison.cell._replace(column=column)
        better, worse = (
            published_value(cell, comparison.better),
            published_value(cell, comparison.worse),
        )
        if better is None or worse is None:
            return math.nan
        gains.append(cell.sign * (better - worse))
    return gains[0] - sum(gains[1:]) + comparison.margin


def _run_test(
    config: Config,
    evidence: Evidence,
    comparison: Comparison,
    off_task: Sequence[str],
    idle: Idle,
) -> ComparisonOutcome:
    if absence := find_absence(evidence.scores, comparison):
        return ComparisonOutcome(comparison, absence)
    cell = comparison.cell
    paired = evidence.scores[cell]
    trainings = _trainings(config.seed, evidence, comparison)
    left_out = {run: trainings.keys() & set(idle.get(run, ())) for run in runs_of(comparison)}
    barred = {seed for seeds in left_out.values() for seed in seeds}
    judged = [strata for seed, strata in trainings.items() if seed not in barred]
    level = config.statistics.level
    effect = seed_effect(
        judged or list(trainings.values()), level, evidence.spreads.get(kind_of(cell), math.nan)
    )
    test = effect.test
    if not math.isfinite(test.p[0]):
        return ComparisonOutcome(comparison, "too few people for a test")
    found = ComparisonOutcome(
        comparison,
        effect=effect.mean,
        low=effect.low,
        high=effect.high,
        spread=effect.spread,
        seeds=effect.seeds,
        t=float(test.t[0]),
        degrees_of_freedom=test.degrees_of_freedom,
        p=float(test.p[0]),
        images=paired.images,
        people=paired.people,
        convention=paired.convention,
    )
    standing, why = find_barrier(
        evidence.lengths, evidence.floor, comparison, paired.convention, off_task
    )
    if not (standing or judged):
        none = [run for run, seeds in left_out.items() if seeds == trainings.keys()]
        names = " and ".join(none or left_out)
        standing, why = NOT_TESTED, NOT_SEEN.format(names)
    return replace(found, outcome=standing, missing=why, p=math.nan) if standing else found


def _trainings(seed: int, evidence: Evidence, comparison: Comparison) -> dict[int, list[Stratum]]:
    """By seed the effect's strata: in the tables' trainings, and in others that have its scores."""
    first = _effects(evidence.scores, comparison)
    others = {
        other: _effects(scores, comparison)
        for other, scores in evidence.seeds.items()
        if not find_absence(scores, comparison)
    }
    return {seed: first} | {
        other: strata for other, strata in others.items() if same_people(strata, first)
    }


def _effects(scores: Scores, comparison: Comparison) -> list[Stratum]:
    """Strata of the effect: signed so that positive is right, the margin added."""
    cell = comparison.cell
    pair = runs_of(comparison)
    effects = []
    before = comparison.against and scores[cell._replace(column=comparison.against)]
    earlier = before.differences([pair]) if before else ()
    for number, part in enumerate(scores[cell].differences([pair])):
        sums = part.sums - earlier[number].sums if earlier else part.sums
        sums = cell.sign * sums + comparison.margin * part.counts[:, None]
        effects.append(replace(part, sums=sums))
    return effects
