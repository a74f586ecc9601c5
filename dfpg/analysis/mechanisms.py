"""Which parts of a run were seen working, out of its training's history.

A training measures its method's parts on validation people: ``mechanism.<measure>.<part>`` and its
standard error over people, ``mechanism_se.<measure>.<part>``; ``discriminator_auc``; and the share
of each loss term in the gradient, ``share.<term>.<part>``. Judged is the last validation. Of a run
with several seeds the mean is judged, since claims compare means over seeds, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
    places = [(config, folder), *((seed.config, seed.folder / HISTORY) for seed in seeds)]
    records = []
    for run in config.runs:
        figures = [
            _last_figures(read_history(settings, place, run))
            for settings, place in places
            if run in settings.runs
        ]
        trainings = [_measured(found) for found in figures]
        records += [
            _record(config, run, part, [t[part] for t in trainings if part in t], figures[0])
            for part in trainings[0]
        ]
    return records


def absent_mechanisms(claim: Claim, records: Iterable[MechanismRecord]) -> list[str]:
    """What the claim takes for granted and was not seen, in words; empty where all is at work."""
    found: dict[tuple[str, str], list[MechanismRecord]] = {}
    for record in records:
        found.setdefault((record.run, record.mechanism), []).append(record)
    idle: dict[str, list[str]] = {}
    for run, name in claim.presupposes:
        parts = found.get((run, name))
        if parts is None:
            idle.setdefault(name, []).append(f"{run}: not measured")
        elif absent := [part for part in parts if part.present == NO]:
            least = min(absent, key=attrgetter("value"))
            idle.setdefault(name, []).append(f"{run}: {_in_words(least)}")
    return [
        f"no evidence that {MECHANISMS[name].meaning} ({MECHANISMS[name].measure} must be above "
        f"{MECHANISMS[name].bound:g}, interval included; {'; '.join(runs)})"
        for name, runs in idle.items()
    ]


def _in_words(record: MechanismRecord) -> str:
    """A measure with its interval, and the part that it was taken of."""
    known = math.isfinite(record.ci_low)
    interval = f" [{record.ci_low:.2g}, {record.ci_high:.2g}]" if known else ""
    level = "level " if record.part.isdecimal() else ""
    place = f" at {level}{record.part}" if record.part else ""
    seeds = f", mean over {record.n_seeds} seeds" if (record.n_seeds or 1) > 1 else ""
    return f"{record.value:.2g}{interval}{place}{seeds}"


def _last_figures(history: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Last value of every column of a history: some figures are not measured every time."""
    found: dict[str, float] = {}
    for row in history:
        found |= {name: value for name, value in row.items() if not math.isnan(value)}
    return found


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
        found["gradient_share", term] = Measured(share, math.nan)
    return found


def _shares(figures: Mapping[str, float]) -> dict[str, float]:
    """Largest share of each loss term over the parts of the generator that it reaches."""
    found: dict[str, float] = {}
    for name, value in figures.items():
        if name.startswith(SHARE):
            _, term, _ = name.split(".")
            found[term] = max(value, found.get(term, 0.0))
    return found


def _record(
    config: Config,
    run: str,
    part: Part,
    trainings: Sequence[Measured],
    figures: Mapping[str, float],
) -> MechanismRecord:
    measure, place = part
    people = figures.get(PEOPLE)
    value = float(np.mean([training.value for training in trainings]))
    reach = _reach(trainings, people or math.nan, config.statistics.level)
    least, most = RANGES.get(measure, (-math.inf, math.inf))
    low, high = max(value - reach, least), min(value + reach, most)
    key = KEY_OF_MEASURE.get(measure, "")
    present, bound = "", math.nan
    if key:
        bound = MECHANISMS[key].bound
        present = YES if (value if math.isnan(reach) else low) > bound else NO
    return MechanismRecord(
        run=run,
        mechanism=key,
        measure=measure,
        part=place,
        value=value,
        ci_low=low,
        ci_high=high,
        bound=bound,
        present=present,
        n_people=int(people) if people else None,
        n_seeds=len(trainings),
        profile=config.profile,
    )


def _reach(trainings: Sequence[Measured], people: float, level: float) -> float:
    """Half-width of the interval; NaN without a standard error or a number of people.

    Half-widths over people and over seeds add in quadrature, as those of effects do. All seeds are
    validated on the same people, so more seeds do not make the former smaller.
    """
    quantile = (1 + level) / 2
    error = float(np.mean([training.error for training in trainings]))
    if math.isnan(error) or math.isnan(people):
        return math.nan
    reach = error * student(quantile, max(people - 1, 1))
    count = len(trainings)
    if count > 1:
        spread = float(np.std([training.value for training in trainings], ddof=1))
        reach = math.hypot(reach, student(quantile, count - 1) * spread / math.sqrt(count))
    return reach
