"""What ``results/`` gets from the stage ``report``: tables for papers, READMEs and DVC's plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dfpg.analysis.records import csv_lines, csv_text, read_records
from dfpg.analysis.result_records import (
    KernelSizeRecord,
    RankRecord,
    TableRecord,
    TrainingRecord,
)
from dfpg.core.config import Config
from dfpg.core.files import write_text
from dfpg.paper.tables import TABLES
from dfpg.report.curves import kernel_size_records
from dfpg.report.latex import latex_tables
from dfpg.report.markdown import render_table
from dfpg.report.table_layout import lay_out


def write_result_files(
    config: Config, scores: pd.DataFrame, results: Path
) -> list[KernelSizeRecord]:
    """Write ``kernel_sizes.csv``, ``tables.md``, ``tables.tex`` and ``plots/table*.csv``.

    Args:
        config: the profile.
        scores: of every image and run.
        results: what the stage ``tables`` wrote; gets the files.

    Returns:
        The records of ``kernel_sizes.csv``.

    Raises:
        UserError: a file is missing or damaged.
    """
    tables = {
        table.name: read_records(TableRecord, results / f"{table.name}.csv") for table in TABLES
    }
    trained = read_records(TrainingRecord, results / "training.csv")
    seconds = {line.run: line.seconds for line in trained if math.isfinite(line.seconds)}
    ranks = read_records(RankRecord, results / "ranks.csv")
    sizes = kernel_size_records(config, scores)
    write_text(results / "kernel_sizes.csv", csv_text(KernelSizeRecord, sizes))
    for name, records in tables.items():
        write_text(results / "plots" / f"{name}.csv", _wide(records))
    parts = [render_table(table, tables[table.name], seconds) for table in TABLES]
    write_text(results / "tables.md", "\n".join(parts))
    laid_out = [lay_out(table, tables[table.name], seconds, ranks) for table in TABLES]
    write_text(results / "tables.tex", latex_tables(laid_out))
    return sizes


def _wide(records: Sequence[TableRecord]) -> str:
    """CSV for DVC's plots: a line per row with a value, a column per column group and metric."""
    columns = {"row": None} | {_column(record): None for record in records}
    lines: dict[str, dict[str, str]] = {}
    for record in records:
        if math.isfinite(record.value):
            line = lines.setdefault(record.row, {"row": record.row})
            line[_column(record)] = record.model_dump(include={"value"})["value"]
    return csv_lines(list(columns), lines.values())


def _column(record: TableRecord) -> str:
    return f"{record.test_set}_{record.subset}_{record.metric}"
