"""Which rows a profile's tables have, and what each of them stands for."""

from __future__ import annotations

from dfpg.core.config import Config, ProtocolName
from dfpg.paper.tables import BEYOND, TABLES, TEST_SETS, Fidelity, Row, Table
from dfpg.paper.weights import PUBLISHED


def table_rows(table: Table, config: Config) -> tuple[Row, ...]:
    """Rows of a table: the paper's, then ``BEYOND`` and runs of ``params.yaml`` that none names."""
    if not table.appends:
        return table.rows
    named = {row.run for other in TABLES for row in other.rows}
    protocols = {name: run.protocol for name, run in config.runs.items()}
    protocols |= {name: p for name, p in BEYOND.items() if name not in protocols}
    further = (
        Row(name, name)
        for name, protocol in protocols.items()
        if name not in named and protocol == table.protocol
    )
    return (*table.rows, *further)


def row_fidelity(config: Config, row: Row) -> Fidelity:
    """How close a row's network and weights are to the authors'."""
    run = config.runs.get(row.run or "")
    return row.fidelity if run is None or run.weights is None else "official weights"


def row_note(row: Row, fidelity: Fidelity) -> str:
    """What a row's number leaves out, or on what its authors trained."""
    published = PUBLISHED.get(row.run or "")
    if fidelity == "official weights" and published:
        return published.trained
    return row.note if fidelity == row.fidelity else ""


def empty_reason(config: Config, row: Row) -> str:
    """Why a row is empty whose run the profile does not have, and which file would fill it."""
    if row.missing:
        return row.missing
    reason = f"not in profile {config.profile}"
    published = PUBLISHED.get(row.run or "")
    return reason if published is None else f"{reason}; weights: {published.files}"


def evaluation_protocols(config: Config, run: str) -> tuple[ProtocolName, ...]:
    """Protocols whose test sets a run is scored on: its tables', and the one it trains on."""
    found = {config.runs[run].protocol}
    found |= {
        TEST_SETS[column.test_set].protocol
        for table in TABLES
        for row in table.rows
        for column in table.columns
        if row.run == run
    }
    return tuple(sorted(found))
