"""Scores of all methods in one column and metric, side by side: what paired tests are made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dfpg.analysis.estimates import column_scores, subset_names
from dfpg.analysis.observations import Observations
from dfpg.analysis.recognition import pair_recognition_scores
from dfpg.analysis.strata import Array, Stratum, make_stratum
from dfpg.core.config import Config
from dfpg.paper.tables import TABLES, TEST_SETS, Cell, Column, Table


@dataclass(frozen=True)
class PairedScores:
    """Paired scores of all methods in one cell.

    Attributes:
        runs: methods whose scores are all finite, one column of each stratum per method.
        strata: scores in the metric's unit, one stratum per subset.
        convention: the metric's convention.
        images: number of images, or of pairs of pictures.
    """

    runs: tuple[str, ...]
    strata: tuple[Stratum, ...]
    convention: str
    images: int

    @property
    def people(self) -> int:
        """Number of units drawn: people, or groups of people that share a negative pair."""
        return sum(stratum.people for stratum in self.strata)

    def means(self) -> Array:
        """Mean of every method, [M]."""
        shares = [part.sums.sum(axis=0) / part.counts.sum() for part in self.strata]
        mean: Array = np.mean(shares, axis=0)
        return mean

    def resampled_means(self) -> Array:
        """Mean of every method in every resample, [R, M]."""
        mean: Array = np.mean([part.resampled_means() for part in self.strata], axis=0)
        return mean

    def differences(self, pairs: Sequence[tuple[str, str]]) -> tuple[Stratum, ...]:
        """Strata of one column per pair: scores of its first method minus those of its second."""
        one = [self.runs.index(first) for first, _ in pairs]
        two = [self.runs.index(second) for _, second in pairs]
        return tuple(
            replace(part, sums=part.sums[:, one] - part.sums[:, two]) for part in self.strata
        )


def pair_scores(
    config: Config, scores: pd.DataFrame, observations: Observations
) -> dict[Cell, PairedScores]:
    """Every cell whose scores are paired between methods and exist.

    Verification by the authors' protocol is left out: it drops other images for every method.
    """
    found = pair_image_scores(config, scores)
    for table in TABLES:
        if table.recognition:
            found |= _pair_recognition_scores(config, table, observations)
    return found


def pair_image_scores(config: Config, scores: pd.DataFrame) -> dict[Cell, PairedScores]:
    """Every cell of the image tables whose scores exist."""
    found: dict[Cell, PairedScores] = {}
    for table in TABLES:
        if not table.recognition:
            for column in table.columns:
                found |= _pair_image_scores(config, scores, table, column)
    return found


def _pair_image_scores(
    config: Config, scores: pd.DataFrame, table: Table, column: Column
) -> dict[Cell, PairedScores]:
    protocol = TEST_SETS[column.test_set].protocol
    names = subset_names(config, column)
    subsets = column_scores(config, scores, table, column)
    if not subsets:
        return {}
    found = {}
    for number, (metric, convention) in enumerate(table.conventions.items()):
        runs = tuple(
            run
            for run in subsets[0].methods
            if all(
                run in subset.methods
                and np.isfinite(subset.values[:, subset.methods.index(run), number]).all()
                for subset in subsets
            )
        )
        strata = tuple(
            make_stratum(
                subset.values[:, [subset.methods.index(run) for run in runs], number],
                subset.people,
                config.statistics.resamples,
                config.seed,
                protocol,
                name,
                kernels=subset.kernels,
            )
            for name, subset in zip(names, subsets, strict=True)
        )
        images = sum(len(subset.people) for subset in subsets)
        found[Cell(table.name, column, metric)] = PairedScores(runs, strata, convention, images)
    return found


def _pair_recognition_scores(
    config: Config, table: Table, observations: Observations
) -> dict[Cell, PairedScores]:
    paired = pair_recognition_scores(observations)
    found = {}
    for metric, convention in table.conventions.items():
        by_run = {run: scores for (run, name), scores in paired.items() if name == convention}
        if not by_run:
            continue
        values = np.stack([scores.values for scores in by_run.values()], axis=1)
        first = next(iter(by_run.values()))
        stratum = make_stratum(
            values,
            first.people,
            config.statistics.resamples,
            config.seed,
            "recognition",
            kernels=first.kernels,
        )
        scores_of_runs = PairedScores(tuple(by_run), (stratum,), convention, len(values))
        found[Cell(table.name, table.columns[0], metric)] = scores_of_runs
    return found
