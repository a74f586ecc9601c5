"""The compared methods as a table: papers, sizes, costs, and what their rows are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dfpg.core.config import Config, load_config
from dfpg.core.csv_files import to_csv
from dfpg.core.files import write_text
from dfpg.core.markdown import markdown_table
from dfpg.core.profile import resolve_profile
from dfpg.methods.cost import cost
from dfpg.methods.names import method_names
from dfpg.methods.registry import method_class
from dfpg.paper.rows import row_fidelity, table_rows
from dfpg.paper.tables import TABLES

ABSENT = "-"

Record = dict[str, str]

HEADINGS = {
    "method": "method",
    "system": "system",
    "paper": "paper",
    "year": "year",
    "parameters": "parameters (M)",
    "gmacs": "GMACs",
    "full_parameters": "full: parameters (M)",
    "full_gmacs": "full: GMACs",
    "protocols": "protocols",
    "fidelity": "fidelity",
    "weights": "published weights",
}


def overview(config: Config, full: Config) -> list[Record]:
    """One record per registered method, its columns those of ``HEADINGS``.

    Costs are those of the method's first run; ``-`` where a profile has none.

    Args:
        config: the profile in use.
        full: the profile at the paper's widths.

    Raises:
        UserError: bad options of a run.
    """
    records = []
    for name in method_names():
        system = method_class(name).system
        runs = [run for run, settings in config.runs.items() if settings.method == name]
        rows = [row for table in TABLES for row in table_rows(table, config) if row.run in runs]
        records.append(
            {
                "method": name,
                "system": system.title,
                "paper": system.paper,
                "year": str(system.year),
                **dict(zip(("parameters", "gmacs"), _cost(config, name), strict=True)),
                **dict(zip(("full_parameters", "full_gmacs"), _cost(full, name), strict=True)),
                "protocols": _list([config.runs[run].protocol for run in runs]),
                "fidelity": _list([row_fidelity(config, row) for row in rows]),
                "weights": system.weights,
            }
        )
    return records


def markdown(records: Sequence[Record]) -> str:
    """Records of :func:`overview` as a Markdown table."""
    return markdown_table(list(HEADINGS.values()), (list(record.values()) for record in records))


def _cost(config: Config, method: str) -> tuple[str, str]:
    """Parameters in millions and GMACs of a method's first run."""
    run = next((run for run, settings in config.runs.items() if settings.method == method), None)
    if run is None:
        return ABSENT, ABSENT
    found = cost(config, run)
    return f"{found.parameters / 1e6:.2f}", f"{found.macs / 1e9:.2f}"


def _list(values: Sequence[str]) -> str:
    return ", ".join(sorted(set(values))) or ABSENT


def methods(csv: Path | None) -> str:
    """The compared methods as a Markdown table, and into a CSV where one is named."""
    full, _ = resolve_profile("paper")
    records = overview(load_config(), full)
    if csv is not None:
        write_text(csv, to_csv(pd.DataFrame(records), index=False))
    return markdown(records)
