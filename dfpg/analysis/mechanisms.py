"""Which parts of a run were seen working, out of its training's history.

A training measures its method's parts on validation people: ``mechanism.<measure>.<part>`` and its
standard error over people, ``mechanism_se.<measure>.<part>``; ``discriminator_auc``; and the share
of each loss term in the gradient, ``share.<term>.<part>``. Judged is the last validation. Every
training of a run is judged by itself: a claim is tested on those alone that show what it takes for
granted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from dfpg.analysis.histories import read_history
from dfpg.analysis.quantiles import student
from dfpg.analysis.seed_folders import SeedFolder
from dfpg.analysis.study_records import MechanismRecord
from dfpg.core.config import Config
from dfpg.paper.claims import Claim
from dfpg.paper.mechanisms import MECHANISMS

HISTORY = "history"
VALUE, ERROR, SHARE = "mechanism.", "mechanism_se.", "share."
AUC, AUC_ERROR = "discriminator_auc", "discriminator_auc_se"
GRADIENT_SHARE = "gradient_share"
PEOPLE = "validation_people"
KEY_OF_MEASURE = {mechanism.measure: key for key, mechanism in MECHANISMS.items()}
YES, NO = "yes", "no"
# No interval goes beyond these; the other measures are far from their ends.
RANGES = {AUC: (0.0, 1.0), "parsing_iou": (0.0, 1.0)}
Part = tuple[str, str]  # measure, and level or module


class Measured(NamedTuple):
    """A figure of one training, and its standard error over people; NaN: not measured."""

    value: float
    error: float


def mechanism_records(
    config: Config, folder: Path, seeds: Sequence[SeedFolder] = ()
) -> list[MechanismRecord]:
    """Records of every run that has a history.

    Args:
        config: the profile.
        folder: of the histories, ``RUN.csv``.
        seeds: records of other seeds; the histories there count, where there are any.

    Raises:
        UserError: a history is damaged, or does not reach the end of its training.
    """
    places = [(config.seed, config, folder)]
    places += [(seed, alike, place / HISTORY) for seed, alike, place in seeds]
    return [
        record
        for run in config.runs
        for seed, settings, place in places
        if run in settings.runs
        for record in _records(config, run, seed, _last_figures(read_history(settings, place, run)))
    ]


def absent_mechanisms(claim: Claim, records: Iterable[MechanismRecord]) -> list[str]:
    """What the claim takes for granted and no training shows, in words; empty without any."""
    found = _by_training(records)
    idle: dict[str, list[str]] = {}
    for run, name in claim.presupposes:
        trainings = [
            parts for (other, key, _), parts in found.items() if (other, key) == (run, name)
        ]
        if not trainings:
            idle.setdefault(name, []).append(f"{run}: not measured")
        elif not any(_at_work(parts) for parts in trainings):
            absent = [part for part in trainings[0] if part.present == NO]
            least = _in_words(min(absent, key=attrgetter("value")))
            others = len(trainings) - 1
            alike = f", nor in {others} other training{'s' * (others > 1)}" if others else ""
            idle.setdefault(name, []).append(f"{run}: {least}{alike}")
    return [
        f"no evidence that {MECHANISMS[name].meaning} ({MECHANISMS[name].measure} must be above "
        f"{MECHANISMS[name].bound:g}, interval included; {'; '.join(runs)})"
        for name, runs in idle.items()
    ]


def idle_trainings(
    claim: Claim, records: Iterable[MechanismRecord], seeds: Iterable[int]
) -> dict[str, set[int]]:
    """By run, the seeds whose training does not show all that the claim takes for granted of it."""
    found = _by_training(records)
    every = set(seeds)
    idle: dict[str, set[int]] = {}
    for run, name in claim.presupposes:
        shown = {seed for seed in every if _at_work(found.get((run, name, seed), ()))}
        idle.setdefault(run, set()).update(every - shown)
    return idle


def _by_training(
    records: Iterable[MechanismRecord],
) -> dict[tuple[str, str, int | None], list[MechanismRecord]]:
    """Parts of each run's mechanism in each training."""
    found: dict[tuple[str, str, int | None], list[MechanismRecord]] = {}
    for record in records:
        found.setdefault((record.run, record.mechanism, record.seed), []).append(record)
    return found


def _at_work(parts: Sequence[MechanismRecord]) -> bool:
    return bool(parts) and all(part.present == YES for part in parts)


def _in_words(record: MechanismRecord) -> str:
    """A measure with its interval, and the part that it was taken of."""
    known = math.isfinite(record.ci_low)
    interval = f" [{record.ci_low:.2g}, {record.ci_high:.2g}]" if known else ""
    level = "level " if record.part.isdecimal() else ""
    return f"{record.value:.2g}{interval}" + (f" at {level}{record.part}" if record.part else "")


def _last_figures(history: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Last value of every column of a history: some figures are not measured every time."""
    found: dict[str, float] = {}
    for row in history:
        found |= {name: value for name, value in row.items() if not math.isnan(value)}
    return found


def _records(
    config: Config, run: str, seed: int, figures: Mapping[str, float]
) -> Iterator[MechanismRecord]:
    people = figures.get(PEOPLE)
    for (measure, part), (value, error) in _measured(figures).items():
        reach = math.nan
        if people:
            reach = error * student((1 + config.statistics.level) / 2, max(people - 1, 1))
        least, most = RANGES.get(measure, (-math.inf, math.inf))
        low, high = max(value - reach, least), min(value + reach, most)
        key = KEY_OF_MEASURE.get(measure, "")
        bound = MECHANISMS[key].bound if key else math.nan
        above = (value if measure == GRADIENT_SHARE else low) > bound  # a share has no interval
        yield MechanismRecord(
            run=run,
            mechanism=key,
            measure=measure,
            part=part,
            value=value,
            ci_low=low,
            ci_high=high,
            bound=bound,
            present=(YES if above else NO) if key else "",
            n_people=int(people) if people else None,
            seed=seed,
            profile=config.profile,
        )


def _measured(figures: Mapping[str, float]) -> dict[Part, Measured]:
    found: dict[Part, Measured] = {}
    for name, value in figures.items():
        if name.startswith(VALUE):
            measure, _, part = name.removeprefix(VALUE).partition(".")
            error = figures.get(ERROR + name.removeprefix(VALUE), math.nan)
            found[measure, part] = Measured(value, error)
    if AUC in figures:
        found[AUC, ""] = Measured(figures[AUC], figures.get(AUC_ERROR, math.nan))
    for term, share in _shares(figures).items():
        found[GRADIENT_SHARE, term] = Measured(share, math.nan)
    return found


def _shares(figures: Mapping[str, float]) -> dict[str, float]:
    """Largest share of each loss term over the parts of the generator that it reaches."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        if name.startswith(SHARE):
            _, term, _ = name.split(".")
            found[term] = max(value, found.get(term, 0.0))
    return found
