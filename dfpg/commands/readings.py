"""The ablation under every reading of what the paper leaves open, one departure at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dfpg.analysis.records import csv_text
from dfpg.analysis.study_records import ReadingRecord
from dfpg.commands.effects import Effect, effects_of
from dfpg.core.config import PARAMS, Config, load_config, parse_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.evaluation.weights_scores import score_weights
from dfpg.methods.registry import run_options
from dfpg.paper.claims import CLAIMS
from dfpg.paper.readings import CHOICES, Answer
from dfpg.paper.tables import TABLES
from dfpg.training.trial import is_finished, stamp_trial

FOLDER, SHEET = ARTIFACTS / "readings", "readings.csv"
IMAGES = 1600  # of a training: a fifteenth of an embedded run of protocol B
PROFILE = "profile"  # the reading of the profile in use


class Reading(NamedTuple):
    """One departure from the profile: a choice, its other answer, and the runs that it changes."""

    choice: str
    answer: Answer | None
    key: str
    runs: tuple[str, ...]


def readings(chosen: Sequence[str], images: int = IMAGES) -> str:
    """Train and score what is not there yet, and write ``results/readings.csv``; resumable.

    Every reading has the same training images. Runs that a reading leaves as they are, are those
    of the profile's reading. Several processes can work on different choices side by side.

    Args:
        chosen: names of choices; none: all.
        images: of every training.

    Raises:
        UserError: an unknown choice, or what a training needs is missing.
    """
    from dfpg.stages.train import train

    known = {choice.name for choice in CHOICES}
    if unknown := [name for name in chosen if name not in known]:
        raise UserError(f"{unknown[0]}: no such choice: choose of {', '.join(sorted(known))}")
    config = load_config()
    wanted = [one for one in all_readings(config) if not chosen or one.choice in (*chosen, PROFILE)]
    for reading in wanted:
        varied = reading_config(config, reading, images)
        for run in reading.runs:
            folder = place(reading) / run
            if not is_finished(varied, run, folder):
                train(run, folder, varied)
                weights = folder / "weights" / f"{run}.safetensors"
                score_weights(varied, run, weights, folder / "per_image.csv")
                stamp_trial(varied, run, folder)
    records = reading_records(config, images)
    write_text(RESULTS / SHEET, csv_text(ReadingRecord, records))
    return f"{RESULTS / SHEET}: {len(records)} effects, {images} images each"


def all_readings(config: Config) -> Iterator[Reading]:
    """The profile's own reading, then every single departure from it.

    Of the ablation's runs only those that some claim compares.
    """
    table = TABLES[-1]
    compared = {
        key
        for claim in CLAIMS
        for one in claim.comparisons
        if one.cell.table == table.name
        for key in (one.better, one.worse)
    }
    ablation = tuple(
        row.run for row in table.rows if row.run in config.runs and row.key in compared
    )
    yield Reading(PROFILE, None, "", ablation)
    for choice in CHOICES:
        runs = tuple(run for run in choice.runs if run in ablation)
        own = {_value(config, choice.key, run) for run in runs}
        for answer in choice.answers:
            if answer not in own:
                yield Reading(choice.name, answer, choice.key, runs)


def reading_config(config: Config, reading: Reading, images: int) -> Config:
    """The configuration of one reading's runs: the departure, and the length."""
    data = config.model_dump(mode="json", exclude_unset=True)
    for run in reading.runs:
        data["runs"][run]["images"] = images
    data["runs"] = {run: data["runs"][run] for run in reading.runs}
    if reading.key:
        *sections, last = reading.key.split(".")
        target = data
        for section in sections:
            target = target[section]
        target[last] = reading.answer
        for run in reading.runs:  # a run's own option would stand above its method's
            data["runs"][run].get("options", {}).pop(last, None)
    return parse_config(data, PARAMS)


def reading_records(config: Config, images: int) -> list[ReadingRecord]:
    """Effects of the ablation's claims under every reading whose runs are all there."""
    records = []
    for reading in all_readings(config):
        files = _files(config, reading, images)
        for effect in effects_of(config, files) if files else ():
            if effect.outcome.comparison.cell.table == TABLES[-1].name:
                records.append(_record(config, reading, images, effect))
    return records


def place(reading: Reading) -> Path:
    """Folder of a reading's trainings."""
    return FOLDER / reading.choice / ("" if reading.answer is None else f"{reading.answer}")


def _files(config: Config, reading: Reading, images: int) -> list[Path]:
    """Scores of all runs of the ablation under a reading; none where one is missing."""
    profile = next(all_readings(config))
    found = []
    for run in profile.runs:
        source = reading if run in reading.runs else profile
        folder = place(source) / run
        if not is_finished(reading_config(config, source, images), run, folder):
            return []
        found.append(folder / "per_image.csv")
    return found


def _record(config: Config, reading: Reading, images: int, effect: Effect) -> ReadingRecord:
    outcome = effect.outcome
    return ReadingRecord(
        choice=reading.choice,
        answer="" if reading.answer is None else f"{reading.answer}",
        claim=effect.claim.key,
        metric=outcome.comparison.cell.metric,
        better=outcome.comparison.better,
        worse=outcome.comparison.worse,
        effect=outcome.effect,
        ci_low=outcome.low,
        ci_high=outcome.high,
        direction=effect.direction,
        images=images,
        n_people=outcome.people,
        seed=config.seed,
        profile=config.profile,
    )


def _value(config: Config, key: str, run: str) -> Any:
    """What a run has at ``key``; of a method's option, what the run's network is built with."""
    section, *rest = key.split(".")
    if section == "methods":
        return getattr(run_options(config, run), rest[-1])
    value: Any = getattr(config, section)
    for part in rest:
        value = getattr(value, part)
    return value
