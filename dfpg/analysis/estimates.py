"""Per-image scores of all runs -> means, intervals and gains per column group of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.analysis.metric_ranges import clip_differences, clip_values
from dfpg.analysis.people_bootstrap import Interval, mean_interval, paired_p
from dfpg.analysis.read_once import read_once
from dfpg.analysis.strata import Stratum, make_stratum
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.renamed import absent_column
from dfpg.evaluation.per_image import read_per_image
from dfpg.paper.tables import (
    BASELINES,
    FLOOR,
    HIGHER_IS_BETTER,
    MEAN,
    TEST_SETS,
    UNTRAINED_FILES,
    Column,
    PaperTestSet,
    Table,
)


class Estimate(NamedTuple):
    """A mean and its interval; not finite where there is none."""

    mean: float
    low: float
    high: float


IMAGE = ["image", "person", "size", "kernel"]  # what an image is, the same for all methods
NO_ESTIMATE = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class ColumnEstimates:
    """Scores of all methods in one column group; keys are (method, convention).

    Attributes:
        values: mean over images; NaN for a metric that a method has no values of.
        gains: mean paired difference to ``blurred``, positive where the method is better.
        p: two-sided p of the gain, not adjusted.
        floor: as ``gains``, but to the fixed filter (``FLOOR``); empty where that was not scored.
        images: number of images.
        people: number of people.
    """

    values: dict[tuple[str, str], Estimate]
    gains: dict[tuple[str, str], Estimate]
    p: dict[tuple[str, str], float]
    images: int
    people: int
    floor: dict[tuple[str, str], Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class SubsetScores:
    """Scores of one subset: ``values`` [N images, M methods, K conventions], and what they show."""

    values: NDArray[np.float64]
    methods: tuple[str, ...]
    people: tuple[str, ...]
    kernels: tuple[str, ...]


def load_scores(config: Config, folder: Path) -> pd.DataFrame:
    """Per-image scores of the baselines, and of the classical rows and runs whose CSV exists.

    Raises:
        UserError: no ``baselines.csv``, or a CSV that holds another method than its name says or
            other metrics.
    """
    frames: list[pd.DataFrame] = []
    for name in (*UNTRAINED_FILES, *config.runs):
        path = folder / f"{name}.csv"
        if name != "baselines" and not path.exists():
            continue
        frame = read_once(read_per_image, path)
        if set(frame["method"]) != set(UNTRAINED_FILES.get(name, (name,))):
            raise UserError(f"{path}: holds another method than {name}; run evaluate again")
        if frames and set(frame.columns) != set(frames[0].columns):
            raise UserError(
                f"{path}: its metrics are not those of the baselines; run evaluate again, or fetch "
                "the files of this profile (dfpg record fetch)"
            )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def estimate_column(
    config: Config, scores: pd.DataFrame, table: Table, column: Column
) -> ColumnEstimates | None:
    """Estimates of one column group; None where the profile has no such test images.

    Raises:
        UserError: a convention is missing, or two methods were scored on different images.
    """
    protocol = TEST_SETS[column.test_set].protocol
    conventions = tuple(table.conventions.values())
    names = subset_names(config, column)
    subsets = column_scores(config, scores, table, column)
    if not subsets:
        return None
    methods = [
        method
        for method in subsets[0].methods
        if all(method in subset.methods for subset in subsets)
    ]
    signs = np.array([1.0 if HIGHER_IS_BETTER[metric] else -1.0 for metric in table.conventions])
    values = []
    gains: dict[str, list[Stratum]] = {row: [] for row in ("blurred", FLOOR) if row in methods}
    for name, subset in zip(names, subsets, strict=True):
        chosen = subset.values[:, [subset.methods.index(method) for method in methods]]
        values.append(_stratum(config, chosen, subset, protocol, name))
        for row, strata in gains.items():
            with np.errstate(invalid="ignore"):  # both infinite: no gain, left out as NaN
                better = (chosen - subset.values[:, [subset.methods.index(row)]]) * signs
            strata.append(_stratum(config, better, subset, protocol, name))
    keys = [(method, convention) for method in methods for convention in conventions]
    measured = [convention for _, convention in keys]
    level = config.statistics.level
    return ColumnEstimates(
        values=_bounds(keys, clip_values(mean_interval(values, level), measured)),
        gains=_gains(keys, gains["blurred"], level),
        p=dict(zip(keys, paired_p(gains["blurred"], level).tolist(), strict=True)),
        images=sum(len(subset.people) for subset in subsets),
        people=len({person for subset in subsets for person in subset.people}),
        floor=_gains(keys, gains[FLOOR], level) if FLOOR in gains else {},
    )


def subset_names(config: Config, column: Column) -> list[str]:
    """Subsets that a column group is of: all of its test set for the mean."""
    protocol = TEST_SETS[column.test_set].protocol
    subsets = config.protocols[protocol].test.subsets
    return list(subsets) if column.subset == MEAN else [column.subset]


def column_scores(
    config: Config, scores: pd.DataFrame, table: Table, column: Column
) -> list[SubsetScores]:
    """Scores of a column group by subset, as :func:`subset_names`; none where a subset is empty.

    Raises:
        UserError: as :func:`subset_scores`.
    """
    found = [
        subset_scores(scores, column.test_set, name, tuple(table.conventions.values()))
        for name in subset_names(config, column)
    ]
    return found if all(len(subset.people) for subset in found) else []


def subset_scores(
    scores: pd.DataFrame, test_set: str, subset: str, conventions: Sequence[str]
) -> SubsetScores:
    """Scores of every method on the images of one subset, images in order.

    Args:
        scores: see :func:`load_scores`.
        test_set: key of ``TEST_SETS``.
        subset: the subset's name.
        conventions: metric columns wanted.

    Raises:
        UserError: a convention is missing, or two methods were scored on different images. A
            method may lack a convention's values altogether (NaN), not those of some images.
    """
    absent = [name for name in conventions if name not in scores.columns]
    if absent:
        lack = absent_column(absent[0], scores.columns)
        raise UserError(f"per-image CSVs: {lack}; run evaluate again")
    wanted = is_of(TEST_SETS[test_set], scores) & (scores["subset"] == subset)
    rows = scores[wanted].sort_values("image")
    places = {str(name): found for name, found in rows.groupby("method").indices.items()}
    methods = tuple(sorted(places, key=lambda name: (name not in BASELINES, name)))
    if not methods:
        return SubsetScores(np.zeros((0, 0, len(conventions))), (), (), ())
    images = rows[IMAGE].to_numpy()
    table = rows[list(conventions)].to_numpy(dtype=np.float64)
    first = places[methods[0]]
    for name, own in places.items():
        empty = np.isnan(table[own])
        if (
            not np.array_equal(images[own], images[first])
            or (empty.any(axis=0) & ~empty.all(axis=0)).any()
        ):
            raise UserError(
                f"per-image CSV of {name!r}: its images or metrics on {test_set} {subset} are not "
                "those of the other runs; run evaluate again, or fetch the files of this profile "
                "(dfpg record fetch)"
            )
    values = np.stack([table[places[name]] for name in methods], axis=1)
    shown = rows.iloc[first]
    return SubsetScores(
        values, methods, tuple(shown["person"].tolist()), tuple(kernel_names(shown))
    )


def is_of(test_set: PaperTestSet, scores: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of the scores are of one test set of the paper."""
    return (scores["test_set"] == test_set.images) & (scores["mode"] == test_set.mode)


def kernel_names(rows: pd.DataFrame) -> list[str]:
    """Name of each image's kernel: kernels are numbered within their size."""
    return [f"{size}/{kernel}" for size, kernel in zip(rows["size"], rows["kernel"], strict=True)]


def _stratum(
    config: Config,
    values: NDArray[np.float64],
    subset: SubsetScores,
    protocol: str,
    name: str,
) -> Stratum:
    return make_stratum(
        values.reshape(len(values), -1),
        subset.people,
        config.statistics.resamples,
        config.seed,
        protocol,
        name,
        kernels=subset.kernels,
    )


def _gains(
    keys: Sequence[tuple[str, str]], strata: Sequence[Stratum], level: float
) -> dict[tuple[str, str], Estimate]:
    names = [convention for _, convention in keys]
    return _bounds(keys, clip_differences(mean_interval(strata, level), names))


def _bounds(keys: Sequence[tuple[str, str]], interval: Interval) -> dict[tuple[str, str], Estimate]:
    rows = np.stack([interval.mean, interval.low, interval.high], axis=1).tolist()
    return {key: Estimate(*row) for key, row in zip(keys, rows, strict=True)}
