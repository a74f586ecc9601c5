"""Which charts the report shows, drawn from the results' records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
from markupsafe import Markup

from dfpg.analysis.estimates import Estimate, estimate_column
from dfpg.analysis.result_records import RankRecord, TableRecord
from dfpg.core.config import Config
from dfpg.paper.tables import (
    BASELINES,
    CLASSICAL,
    DECIMALS,
    HEADINGS,
    MEAN,
    SUBSET_TITLES,
    TABLES,
    TEST_SETS,
    Column,
    Table,
)
from dfpg.report.charts import (
    GMACS,
    SECONDS,
    ablation_chart,
    column_points,
    forest_chart,
    published_ablation_chart,
    tradeoff_chart,
)
from dfpg.report.facts import CostRecord

ABLATED = ("psnr", "ssim", "d_vgg", "lpips")
PUBLISHED = ("psnr", "ssim")  # what the paper's Table 4 has


def forest_charts(
    config: Config, table: Table, records: Mapping[str, Sequence[TableRecord]]
) -> list[Markup]:
    """One forest per column and leading metric of a table; all metrics where it has one column."""
    metrics = list(table.conventions) if table.recognition else list(table.conventions)[:1]
    if not table.appends:
        return []  # the ablation has charts of its own
    found = []
    for column in table.columns:
        for metric in metrics:
            values = column_points(records[table.name], column, metric)
            if values:
                test_set = TEST_SETS[column.test_set].title
                title = f"{test_set}, {SUBSET_TITLES.get(column.subset, column.subset)}"
                name = f"{table.name}-{column.test_set}-{column.subset}-{metric}"
                found.append(forest_chart(config, name, title, metric, values))
    return found


def ablation_charts(config: Config, records: Sequence[TableRecord]) -> list[Markup]:
    """Table 4's models by every metric, and the paper's own values."""
    found = []
    for metric in ABLATED:
        values = column_points(records, Column("mspl_center", MEAN), metric)
        models = [point for point in values if point.run not in (*BASELINES, *CLASSICAL)]
        if models:
            found.append(ablation_chart(config, metric, models))
        if metric in PUBLISHED:
            found.append(published_ablation_chart(metric))
    return found


def tradeoff_charts(
    config: Config,
    scores: pd.DataFrame,
    costs: Sequence[CostRecord],
    seconds: Mapping[str, float],
) -> list[Markup]:
    """PSNR, mean over the subsets of each test set, against GMACs and training time.

    Args:
        config: the profile.
        scores: see :func:`dfpg.analysis.estimates.load_scores`.
        costs: of ``costs.csv``; without any, GMACs are left out.
        seconds: training time by run.
    """
    spent = {
        GMACS: {record.run: record.gmacs for record in costs},
        SECONDS: seconds,
    }
    found = []
    for name, test_set in TEST_SETS.items():
        psnr = _mean_psnr(config, scores, name)
        for against, values in spent.items():
            if psnr and any(run in psnr for run in values):
                label = f"{against.name}-{name}"
                found.append(tradeoff_chart(config, label, test_set.title, psnr, values, against))
    return found


def _mean_psnr(config: Config, scores: pd.DataFrame, test_set: str) -> dict[str, Estimate]:
    """PSNR in dB by run, without the sharp images' infinite one."""
    table = next(table for table in TABLES if not table.recognition)
    found = estimate_column(config, scores, table, Column(test_set, MEAN))
    values = found.values if found else {}
    return {
        run: bounds
        for (run, convention), bounds in values.items()
        if convention == "psnr" and run != "sharp"
    }


class RankLine(NamedTuple):
    """One row of a ranking, as printed."""

    rank: int | None
    row: str
    value: str
    rank_low: int | None
    rank_high: int | None
    groups: str


def rankings(ranks: Sequence[RankRecord]) -> dict[str, list[RankLine]]:
    """Records of ``ranks.csv`` by column, of each table's leading metric."""
    leading = {table.name: next(iter(table.conventions)) for table in TABLES}
    found: dict[str, list[RankLine]] = {}
    for record in ranks:
        if record.metric == leading[record.table]:
            subset = SUBSET_TITLES.get(record.subset, record.subset)
            number = record.table.removeprefix("table")
            heading = f"Table {number}, {TEST_SETS[record.test_set].title}, {subset}"
            line = RankLine(
                record.rank,
                record.row,
                f"{record.value:.{DECIMALS[record.metric]}f}",
                record.rank_low,
                record.rank_high,
                record.groups,
            )
            found.setdefault(f"{heading}: {HEADINGS[record.metric]}", []).append(line)
    return found
