"""Whether a trained row beats a fixed filter: below that, nothing is said of what it learned.

The floor is the row ``richardson_lucy``: one deconvolution with one Gaussian for every image. A row
is above it in a column and metric where the intervals of its paired gains over the filter and over
the blurred images both lie above zero: a sharpening filter is worse than doing nothing in LPIPS.
Detection and verification are read on the same images' PSNR: rates near 100 % leave no room.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from dfpg.analysis.estimates import ColumnEstimates, Estimate, estimate_column
from dfpg.core.config import Config
from dfpg.paper.tables import BASELINES, CLASSICAL, MEAN, TABLES, TEST_SETS, Column

ABOVE, NOT_ABOVE = "above", "not above"


@dataclass(frozen=True)
class Floor:
    """Paired gains by column, run and convention, over what is harder to beat; empty: unknown."""

    gains: Mapping[tuple[Column, str, str], Estimate]

    def standing(self, column: Column, run: str | None, convention: str) -> str:
        """``ABOVE`` or ``NOT_ABOVE``; empty for references and where there is no interval.

        Args:
            column: of the table.
            run: behind the row.
            convention: per-image column; another one, as of Table 3, stands for ``psnr``.
        """
        if run is None or run in (*BASELINES, *CLASSICAL):
            return ""
        gain = self.gains.get((column, run, convention)) or self.gains.get((column, run, "psnr"))
        if gain is None or math.isnan(gain.low):
            return ""
        return ABOVE if gain.low > 0 else NOT_ABOVE


def floor_of(estimates: Iterable[Mapping[Column, ColumnEstimates | None]]) -> Floor:
    """The floor's gains out of the estimates of the image tables."""
    return Floor(
        {
            key: min(gain, found.gains[key[1:]], key=lambda one: one.low)
            for table in estimates
            for column, found in table.items()
            if found is not None
            for (run, convention), gain in found.floor.items()
            for key in [(column, run, convention)]
        }
    )


def measure_floor(
    estimates: Mapping[str, Mapping[Column, ColumnEstimates | None]],
    means: Mapping[Column, ColumnEstimates | None],
) -> Floor:
    """Which rows are not above the floor, in each column and in the mean of each test set.

    Args:
        estimates: see :func:`dfpg.analysis.tables.estimate_columns`, by table.
        means: see :func:`mean_estimates`.
    """
    return floor_of([means, *(estimates[table.name] for table in TABLES if not table.recognition)])


def mean_estimates(config: Config, scores: pd.DataFrame) -> dict[Column, ColumnEstimates | None]:
    """Estimates of the mean over each test set's subsets, in the conventions of Table 1.

    Args:
        config: the profile.
        scores: see :func:`dfpg.analysis.estimates.load_scores`.
    """
    return {
        column: estimate_column(config, scores, TABLES[0], column)
        for column in (Column(test_set, MEAN) for test_set in TEST_SETS)
    }
