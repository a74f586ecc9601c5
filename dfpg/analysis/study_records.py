"""Columns of the CSV files that say what claims rest on: mechanisms, tuning, readings, budgets."""

from __future__ import annotations

from pathlib import Path

from dfpg.analysis.records import Count, Fixed1, Fixed5, Record, Shortest, read_records
from dfpg.core.config import Config

# Of an effect: where its interval over people lies.
RIGHT, WRONG, OPEN = "right", "wrong", "open"
# Of an effect, from the first budget to the last.
GROWS, FALLS, STEADY = "grows", "falls", "no trend beyond the intervals"


class MechanismRecord(Record):
    """``mechanisms.csv``: how far one part of a run was seen working, on validation people.

    One record per training, whose ``seed`` is named. A part is at work (``present``) where its
    interval lies beyond ``bound``.
    """

    run: str
    mechanism: str  # key of dfpg.paper.mechanisms
    measure: str
    part: str  # level or module; empty where there is one
    value: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    bound: Shortest
    present: str  # yes | no
    n_people: Count
    seed: Count
    profile: str


class TuningRecord(Record):
    """``tuning.csv``: one trial of a run's learning rates; see dfpg.commands.tune."""

    run: str
    trial: str
    lr: Shortest
    lr_discriminator: Shortest
    images: Count
    seconds: Fixed1
    validation_gain: Shortest  # dB over blurred
    validation_gain_se: Shortest  # its standard error over people
    chosen: str  # yes | no
    at_edge: str  # yes: a better rate may lie beyond the trials
    seed: Count
    profile: str


class ReadingRecord(Record):
    """``readings.csv``: one comparison of a claim under one reading; see dfpg.commands.readings."""

    choice: str  # of dfpg.paper.readings; profile: no departure
    answer: str
    claim: str
    metric: str
    better: str
    worse: str
    effect: Fixed5  # positive where the claim is right
    ci_low: Fixed5  # over people: one seed
    ci_high: Fixed5
    direction: str  # RIGHT, WRONG or OPEN
    images: Count
    n_people: Count
    seed: Count
    profile: str


class BudgetRecord(Record):
    """``budget.csv``: one comparison of a claim after so many images; see dfpg.commands.budget."""

    claim: str
    test_set: str
    subset: str
    metric: str
    better: str
    worse: str
    images: Count
    effect: Fixed5  # positive where the claim is right
    ci_low: Fixed5  # over people: one seed
    ci_high: Fixed5
    direction: str  # RIGHT, WRONG or OPEN
    trend: str  # GROWS, FALLS or STEADY
    n_people: Count
    seed: Count
    profile: str


def read_readings(config: Config, path: Path | None) -> list[ReadingRecord]:
    """The readings that were trained with this profile; none where there is no file."""
    records = read_records(ReadingRecord, path) if path and path.exists() else []
    return [record for record in records if record.profile == config.profile]
