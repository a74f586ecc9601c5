"""Which parts of a run were seen working, out of its training's history.

A training measures its method's parts on validation people: ``mechanism.<measure>.<part>`` and its
standard error over people, ``mechanism_se.<measure>.<part>``; ``discriminator_auc``; and the share
of each loss term in the gradient, ``share.<term>.<part>``. Judged is the last validation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path

from dfpg.analysis.histories import read_history
from dfpg.analysis.quantiles import student
from dfpg.analysis.study_records import MechanismRecord
from dfpg.core.config import Config
from dfpg.paper.claims import Claim
from dfpg.paper.mechanisms import MECHANISMS

VALUE, ERROR, SHARE = "mechanism.", "mechanism_se.", "share."
AUC, AUC_ERROR = "discriminator_auc", "discriminator_auc_se"
PEOPLE = "validation_people"
KEY_OF_MEASURE = {mechanism.measure: key for key, mechanism in MECHANISMS.items()}
YES, NO = "yes", "no"


def mechanism_records(config: Config, folder: Path) -> list[MechanismRecord]:
    """Records of every run that has a history.

    Args:
        config: the profile.
        folder: of the histories, ``RUN.csv``.

    Raises:
        UserError: a history is damaged, or does not reach the end of its training.
    """
    return [
        record
        for run in config.runs
        for record in _records(config, run, _last_figures(read_history(config, folder, run)))
    ]


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
    return f"{record.value:.2g}{interval}" + (f" at {level}{record.part}" if record.part else "")


def _last_figures(history: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Last value of every column of a history: some figures are not measured every time."""
    found: dict[str, float] = {}
    for row in history:
        found |= {name: value for name, value in row.items() if not math.isnan(value)}
    return found


def _records(config: Config, run: str, figures: Mapping[str, float]) -> list[MechanismRecord]:
    people = figures.get(PEOPLE)
    measured = [
        (*_split(name.removeprefix(VALUE)), value, figures.get(ERROR + name.removeprefix(VALUE)))
        for name, value in figures.items()
        if name.startswith(VALUE)
    ]
    if AUC in figures:
        measured.append((AUC, "", figures[AUC], figures.get(AUC_ERROR)))
    measured += [("gradient_share", term, share, None) for term, share in _shares(figures).items()]
    return [
        _record(config, run, measure, part, value, error, int(people) if people else None)
        for measure, part, value, error in measured
    ]


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
    measure: str,
    part: str,
    value: float,
    error: float | None,
    people: int | None,
) -> MechanismRecord:
    low = high = math.nan
    if error is not None and people:
        reach = error * student((1 + config.statistics.level) / 2, max(people - 1, 1))
        low, high = value - reach, value + reach
    key = KEY_OF_MEASURE.get(measure, "")
    present, bound = "", math.nan
    if key:
        bound = MECHANISMS[key].bound
        present = YES if (value if math.isnan(low) else low) > bound else NO
    return MechanismRecord(
        run=run,
        mechanism=key,
        measure=measure,
        part=part,
        value=value,
        ci_low=low,
        ci_high=high,
        bound=bound,
        present=present,
        n_people=people,
        profile=config.profile,
    )


def _split(name: str) -> tuple[str, str]:
    measure, _, part = name.partition(".")
    return measure, part
