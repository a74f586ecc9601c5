"""What ``results/`` gets from the stage ``report``: tables for papers and READMEs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import (
    KernelSizeRecord,
)
from dfpg.core.config import Config
from dfpg.core.files import write_text
from dfpg.paper.tables import TABLES
from dfpg.report.curves import kernel_size_records
from dfpg.report.latex import latex_tables
from dfpg.report.markdown import render_table
from dfpg.report.table_layout import lay_out, read_tables


def write_result_files(
    config: Config, scores: pd.DataFrame, results: Path
) -> list[KernelSizeRecord]:
    """Write ``kernel_sizes.csv``, ``tables.md`` and ``tables.tex``.

    Args:
        config: the profile.
        scores: of every image and run.
        results: what the stage ``tables`` wrote; gets the files.

    Returns:
        The records of ``kernel_sizes.csv``.

    Raises:
        UserError: a file is missing or damaged.
    """
    tables, _, seconds, ranks = read_tables(results)
    sizes = kernel_size_records(config, scores)
    write_text(results / "kernel_sizes.csv", csv_text(KernelSizeRecord, sizes))
    parts = [render_table(table, tables[table.name], seconds) for table in TABLES]
    write_text(results / "tables.md", "\n".join(parts))
    laid_out = [lay_out(table, tables[table.name], seconds, ranks) for table in TABLES]
    write_text(results / "tables.tex", latex_tables(laid_out))
    return sizes
