"""Tables over several training seeds: per-image scores of whole runs -> one CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dfpg.analysis.estimates import (
    NO_ESTIMATE,
    Estimate,
    SubsetScores,
    column_scores,
    load_scores,
    subset_names,
)
from dfpg.analysis.metric_ranges import clip_differences, clip_values
from dfpg.analysis.people_bootstrap import Interval
from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import SeedRecord
from dfpg.analysis.seed_intervals import SeedInterval, SeedScores, seed_interval
from dfpg.analysis.seed_records import have_same_images
from dfpg.analysis.strata import Array
from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.paper.rows import table_rows
from dfpg.paper.tables import (
    BASELINES,
    CLASSICAL,
    HIGHER_IS_BETTER,
    TABLES,
    TEST_SETS,
    Column,
    Table,
)

PER_IMAGE = "per_image"


@dataclass(frozen=True)
class SeedRun:
    """One seed's folder: its parameters and its per-image scores."""

    folder: Path
    config: Config
    scores: pd.DataFrame


@dataclass(frozen=True)
class SharedFields:
    """What the records of the same seeds have in common: their methods, and what is said."""

    methods: frozenset[str]
    against: str
    seeds: str
    test_images: str


def compare_seeds(folders: Sequence[Path], out: Path, against: str = "blurred") -> str:
    """Write the tables over several seeds, with intervals over people and seeds.

    A run's values are over the folders that have it, two or more. Table 3 is left out: its rates
    and thresholds have estimators of their own.

    Args:
        folders: each with ``params.yaml`` and ``per_image``, as ``dfpg publish`` writes them, or
            ``artifacts/per_image`` (a project folder); alike but for ``seed``.
        out: the CSV.
        against: run or baseline that the column ``gain`` compares with.

    Returns:
        What was written, and of what.

    Raises:
        UserError: fewer than two folders, equal seeds, other parameters, missing or damaged
            scores, or no scores of ``against``.
    """
    if len(folders) < 2:
        raise UserError("seeds: name two or more folders, each of another seed")
    seeds = [_read(folder) for folder in folders]
    _check(seeds)
    methods = [frozenset(one.scores["method"]) for one in seeds]
    common = frozenset.intersection(*methods)
    if against not in common:
        raise UserError(f"--against {against}: not scored in every folder; {_list_names(common)}")
    groups: dict[tuple[int, ...], set[str]] = {}  # methods by the places of their folders
    for name in frozenset.union(*methods):
        places = tuple(place for place, found in enumerate(methods) if name in found)
        groups.setdefault(places, set()).add(name)
    settings = [
        (
            [seeds[place] for place in places],
            SharedFields(frozenset(names), against, *_described(seeds, places)),
        )
        for places, names in groups.items()
        if len(places) > 1
    ]
    records = [
        record
        for table in TABLES
        if not table.recognition
        for column in table.columns
        for record in _column_records(seeds[0].config, table, column, settings)
    ]
    write_text(out, csv_text(SeedRecord, records))
    lines = []
    for places, names in sorted(groups.items(), key=lambda group: sorted(group[1])):
        if len(places) < len(seeds):
            numbers, _ = _described(seeds, places)
            which = f"seeds {numbers} alone"
            single = f"seed {numbers} alone, left out"
            lines.append(f"{', '.join(sorted(names))}: {which if len(places) > 1 else single}")
    numbers, images = _described(seeds, range(len(seeds)))
    lines.append(f"{out}: {len(records)} values over seeds {numbers}, {images} test images")
    return "\n".join(lines)


def _described(seeds: Sequence[SeedRun], places: Iterable[int]) -> tuple[str, str]:
    """Numbers of the seeds in these places, and whether their test images are the same."""
    found = [seeds[place] for place in places]
    images = "same" if have_same_images([one.scores for one in found]) else "different"
    return " ".join(str(one.config.seed) for one in found), images


def _column_records(
    config: Config,
    table: Table,
    column: Column,
    settings: Iterable[tuple[Sequence[SeedRun], SharedFields]],
) -> list[SeedRecord]:
    """Records of one column group, of all groups of seeds, in the order of the table's rows."""
    found = [
        record for seeds, setting in settings for record in _records(seeds, table, column, setting)
    ]
    order = {row.key: place for place, row in enumerate(table_rows(table, config))}
    return sorted(found, key=lambda record: order[record.row])


def _read(folder: Path) -> SeedRun:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    config = load_config(folder / PARAMS)
    places = [folder / PER_IMAGE, folder / "artifacts" / PER_IMAGE]
    place = next((place for place in places if place.is_dir()), None)
    if place is None:
        raise UserError(
            f"{folder}: no scores of single images ({PER_IMAGE}): "
            "name a folder that `dfpg publish` wrote, or a project folder after `dvc repro`"
        )
    return SeedRun(folder, config, load_scores(config, place))


def _check(seeds: Sequence[SeedRun]) -> None:
    """Refuse what is no set of trainings that differ in their seed alone."""
    first = seeds[0]
    for number, one in enumerate(seeds):
        for earlier in seeds[:number]:
            if earlier.config.seed == one.config.seed:
                raise UserError(
                    f"{one.folder}: seed {one.config.seed} as in {earlier.folder}: "
                    f"set another `seed` in {PARAMS} and run again"
                )
        mine, other = (t.config.model_dump(mode="json") for t in (first, one))
        differing = [name for name in mine if name != "seed" and mine[name] != other[name]]
        if differing:
            raise UserError(
                f"{one.folder / PARAMS}: {differing[0]} is not that of {first.folder / PARAMS}: "
                "only `seed` may differ"
            )


def _records(
    seeds: Sequence[SeedRun], table: Table, column: Column, setting: SharedFields
) -> Iterator[SeedRecord]:
    """Records of one column group; none where it has no images in some folder."""
    config = seeds[0].config
    names = subset_names(config, column)
    parts = [column_scores(config, one.scores, table, column) for one in seeds]
    if not all(parts):
        return
    scored = [set(part.methods) for found in parts for part in found]
    everywhere = set.intersection(*scored)
    present = everywhere & setting.methods
    rows = [row for row in table_rows(table, config) if row.run in present]
    runs = [str(row.run) for row in rows]
    signs = np.array([1.0 if HIGHER_IS_BETTER[metric] else -1.0 for metric in table.conventions])
    found = _interval(seeds, names, parts, runs, column)
    conventions = list(table.conventions.values()) * len(runs)
    values, better = clip_values(found.interval, conventions), None
    if setting.against in everywhere:
        gains = _interval(seeds, names, parts, runs, column, (setting.against, signs))
        better = clip_differences(gains.interval, conventions)
    people = {person for part in parts for one in part for person in one.people}
    cells = [
        (row.key, run, metric, convention)
        for row, run in zip(rows, runs, strict=True)
        for metric, convention in table.conventions.items()
    ]
    for number, (row, run, metric, convention) in enumerate(cells):
        value, gain = _bounds(values, number), NO_ESTIMATE
        if better is not None and run not in (setting.against, "sharp"):
            gain = _bounds(better, number)
        yield SeedRecord(
            table=table.name,
            row=row,
            run=run,
            test_set=column.test_set,
            subset=column.subset,
            metric=metric,
            convention=convention,
            value=value.mean,
            ci_low=value.low,
            ci_high=value.high,
            seed_sd=math.nan if run in (*BASELINES, *CLASSICAL) else found.spread[number],
            gain=gain.mean,
            gain_low=gain.low,
            gain_high=gain.high,
            gain_over=setting.against,
            n_images=sum(len(part.people) for part in parts[0]),
            n_people=len(people),
            n_seeds=len(seeds),
            seeds=setting.seeds,
            test_images=setting.test_images,
            profile=config.profile,
        )


def _interval(
    seeds: Sequence[SeedRun],
    names: Sequence[str],
    parts: Sequence[Sequence[SubsetScores]],
    runs: Sequence[str],
    column: Column,
    gain: tuple[str, Array] | None = None,
) -> SeedInterval:
    """Interval of every run and convention, or of its gain over another run."""
    config = seeds[0].config
    subsets = config.protocols[TEST_SETS[column.test_set].protocol].test.subsets
    scores = []
    for found in parts:
        values = []
        for part in found:
            table = part.values[:, [part.methods.index(run) for run in runs]]
            if gain is not None:
                other, signs = gain
                with np.errstate(invalid="ignore"):  # both infinite: no gain
                    table = (table - part.values[:, [part.methods.index(other)]]) * signs
            values.append(table.reshape(len(table), -1))
        # Two sources may have a person of the same name.
        people = [
            tuple(f"{subsets[name].source}/{person}" for person in part.people)
            for name, part in zip(names, found, strict=True)
        ]
        kernels = tuple(part.kernels for part in found)
        scores.append(SeedScores(tuple(values), tuple(people), kernels))
    settings = config.statistics
    return seed_interval(
        scores, settings.resamples, config.seed, "seeds", *column, level=settings.level
    )


def _bounds(interval: Interval, cell: int) -> Estimate:
    return Estimate(interval.mean[cell], interval.low[cell], interval.high[cell])


def _list_names(names: frozenset[str]) -> str:
    return f"there are {', '.join(sorted(names))}"
