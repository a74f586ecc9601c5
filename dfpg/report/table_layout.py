"""A table's records in the paper's layout: what stands in each cell, and the notes below."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from dfpg.analysis.floor import NOT_ABOVE
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import RankRecord, TableRecord, TrainingRecord
from dfpg.paper.published import ERRATA, PublishedKey
from dfpg.paper.tables import (
    BASELINES,
    CLASSICAL,
    DECIMALS,
    HEADINGS,
    HIGHER_IS_BETTER,
    SUBSET_TITLES,
    TABLES,
    TEST_SETS,
    Table,
)

Place = tuple[str, str, str, str]
MINUS = "\N{MINUS SIGN}"
NO_VALUE = "\N{EN DASH}"  # no value
BELOW_FLOOR = "\N{DAGGER}"  # not above the fixed filter


@dataclass(frozen=True)
class PrintedCell:
    """A value as printed; texts are empty where there is nothing to say."""

    value: str
    interval: str = ""
    published: str = ""
    deviation: str = ""
    verdict: str = ""
    best: bool = False
    letters: str = ""  # rows of a column that share one cannot be told apart
    floor: str = ""  # a mark where the row does not beat the fixed filter
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class PrintedRow:
    """One row: its key, and its cells in the order of the panel's columns."""

    key: str
    trained: str
    fidelity: str
    cells: tuple[PrintedCell, ...]
    notes: tuple[int, ...] = ()
    reason: str = ""  # why no cell has a value

    @property
    def empty(self) -> bool:
        """Whether no cell has anything to show."""
        return bool(self.reason) and not any(cell.published for cell in self.cells)


@dataclass(frozen=True)
class PrintedPanel:
    """One test set of a table: its column groups, each with the same metrics."""

    title: str
    groups: tuple[str, ...]
    metrics: tuple[str, ...]
    lines: tuple[PrintedRow, ...]


@dataclass
class Footnotes:
    """Numbered remarks of one table, each said once."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        """Number of a remark, a new one where it has not been made."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1


@dataclass(frozen=True)
class PrintedTable:
    """A whole table."""

    name: str
    title: str
    panels: tuple[PrintedPanel, ...]
    notes: tuple[str, ...]


class RecordedTables(NamedTuple):
    """What the printed tables are made of.

    Attributes:
        tables: records by name of the table.
        trained: of ``training.csv``.
        seconds: training time of the runs that have one.
        ranks: of ``ranks.csv``; none where it is not there.
    """

    tables: dict[str, list[TableRecord]]
    trained: list[TrainingRecord]
    seconds: dict[str, float]
    ranks: list[RankRecord]


def read_tables(results: Path) -> RecordedTables:
    """Read the tables of a results folder, and what stands beside their values.

    Raises:
        UserError: a table, or ``training.csv``, is missing, or a file is damaged.
    """
    tables = {
        table.name: read_records(TableRecord, results / f"{table.name}.csv") for table in TABLES
    }
    trained = read_records(TrainingRecord, results / "training.csv")
    seconds = {line.run: line.seconds for line in trained if math.isfinite(line.seconds)}
    ranks = results / "ranks.csv"
    return RecordedTables(
        tables, trained, seconds, read_records(RankRecord, ranks) if ranks.exists() else []
    )


class CellMarks(NamedTuple):
    """What is marked, by (row, protocol, subset, metric)."""

    best: set[Place]
    letters: dict[Place, str]


def lay_out(
    table: Table,
    records: Sequence[TableRecord],
    seconds: Mapping[str, float],
    ranks: Sequence[RankRecord] = (),
) -> PrintedTable:
    """The table in the paper's layout.

    Args:
        table: its definition.
        records: of its CSV.
        seconds: training time of the runs that have one.
        ranks: of ``ranks.csv``, whose groups become letters.
    """
    notes = Footnotes()
    panels = []
    letters = {_place(rank): rank.groups for rank in ranks if rank.table == table.name}
    marks = CellMarks(_best_rows(records), letters)
    for test_set, columns in groupby(table.columns, key=lambda column: column.test_set):
        subsets = [column.subset for column in columns]
        own = [record for record in records if record.test_set == test_set]
        keys = dict.fromkeys(record.row for record in own)
        lines = [
            _line(table, [r for r in own if r.row == key], subsets, marks, seconds, notes)
            for key in keys
        ]
        groups = tuple(_group(own, subset) for subset in subsets)
        metrics = tuple(HEADINGS[metric] for metric in table.conventions)
        panels.append(PrintedPanel(TEST_SETS[test_set].title, groups, metrics, tuple(lines)))
    return PrintedTable(table.name, table.title, tuple(panels), tuple(notes.texts))


def _group(records: Sequence[TableRecord], subset: str) -> str:
    """The paper's name of a slot, and how many images fill it."""
    filled = [r for r in records if r.subset == subset and r.n_images]
    name = SUBSET_TITLES.get(subset, subset)
    if not filled:
        return name
    return f"{name} ({filled[0].n_images} images, {filled[0].n_people} people)"


def _place(record: TableRecord | RankRecord) -> Place:
    return record.row, record.test_set, record.subset, record.metric


def _best_rows(records: Sequence[TableRecord]) -> set[Place]:
    """The best trained row of each column."""
    found: dict[tuple[str, str, str], tuple[float, str]] = {}
    for record in records:
        if record.run in (*BASELINES, *CLASSICAL) or not math.isfinite(record.value):
            continue
        column = (record.test_set, record.subset, record.metric)
        sign = 1 if HIGHER_IS_BETTER[record.metric] else -1
        candidate = (sign * record.value, record.row)
        if column not in found or candidate[0] > found[column][0]:
            found[column] = candidate
    return {(row, *column) for column, (_, row) in found.items()}


def _line(
    table: Table,
    records: Sequence[TableRecord],
    subsets: Sequence[str],
    marks: CellMarks,
    seconds: Mapping[str, float],
    notes: Footnotes,
) -> PrintedRow:
    first = records[0]
    by_column = {(record.subset, record.metric): record for record in records}
    ordered = [by_column[subset, metric] for subset in subsets for metric in table.conventions]
    cells = tuple(_cell(table, record, marks, notes) for record in ordered)
    valued = any(math.isfinite(record.value) for record in ordered)
    remarks = dict.fromkeys(record.note for record in ordered if record.note)
    return PrintedRow(
        first.row,
        _training(ordered, seconds),
        first.fidelity,
        cells,
        tuple(notes.number(text) for text in remarks),
        "" if valued else first.reason,
    )


def _training(records: Sequence[TableRecord], seconds: Mapping[str, float]) -> str:
    images = next((record.train_images for record in records if record.train_images), None)
    if images is None:
        return ""
    run = records[0].run
    return f"{images:,} images" + (f", {seconds[run]:,.0f} s" if run in seconds else "")


def _cell(table: Table, record: TableRecord, marks: CellMarks, notes: Footnotes) -> PrintedCell:
    place = _place(record)
    remarks = [record.reason] if record.reason else []
    erratum = ERRATA.get(PublishedKey(table.name, *place))
    remarks += [f"published value in doubt: {erratum}"] if erratum else []
    digits = DECIMALS[record.metric]
    return PrintedCell(
        printed_number(record.value, f".{digits}f") or NO_VALUE,
        _interval(record),
        record.published,
        printed_number(record.deviation, f"+.{digits}f"),
        record.verdict,
        place in marks.best,
        marks.letters.get(place, ""),
        floor=BELOW_FLOOR if record.floor == NOT_ABOVE else "",
        notes=tuple(notes.number(text) for text in remarks),
    )


def _interval(record: TableRecord) -> str:
    spec = f".{DECIMALS[record.metric]}f"
    low, high = (printed_number(bound, spec) for bound in (record.ci_low, record.ci_high))
    return f"{low} to {high}" if low else ""


def printed_number(value: float, spec: str) -> str:
    """A number with a true minus sign, in a format of Python's; empty where there is none."""
    return format(value, spec).replace("-", MINUS) if math.isfinite(value) else ""
