"""Results tables as Markdown in the paper's layout, for terminals and the README."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from dfpg.analysis.barriers import NOT_MEASURED, NOT_TESTED, UNDER_FLOOR
from dfpg.analysis.claim_tests import NOT_SEEN
from dfpg.analysis.comparability import NOT_COMPARABLE
from dfpg.analysis.floor import NOT_ABOVE
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import (
    ClaimRecord,
    ClaimTestRecord,
    TableRecord,
)
from dfpg.core.markdown import markdown_table
from dfpg.core.paths import RESULTS
from dfpg.paper.tables import DECIMALS, FLOOR, HEADINGS, TABLES, TEST_SETS, Table
from dfpg.report.table_layout import BELOW_FLOOR, read_tables

INCOMPARABLE = (
    "No published value can be compared with the one beside it: images, networks or metrics are "
    "others (columns `verdict` and `reason` of the CSV)."
)

# Reasons of comparisons that were not tested, in few words.
BARRIERS = {NOT_SEEN: "a mechanism is not seen", UNDER_FLOOR: "a row is under the floor"}


def show_tables(results: Path = RESULTS) -> str:
    """The claims and all tables of a results folder.

    Raises:
        UserError: a table, ``claims.csv``, ``claim_tests.csv`` or ``training.csv`` is missing or
            damaged.
    """
    return "\n\n".join([render_claims(results), *render_tables(results).values()])


def render_claims(results: Path) -> str:
    """What the paper claims, what became of each claim here, and why.

    Beside the number of a claim's comparisons stands in how many the mean differs as the claim
    says, whatever the verdict, how many hold or are reversed by the rules, and how many could not
    be tested; those that are left are open or too small. The remark says what barred them, and in
    how many readings of the paper a claim goes its way. ``claims.csv`` has the whole reason.

    Raises:
        UserError: ``claims.csv`` or ``claim_tests.csv`` is missing or damaged.
    """
    claims = read_records(ClaimRecord, results / "claims.csv")
    tests: dict[str, list[ClaimTestRecord]] = {}
    for test in read_records(ClaimTestRecord, results / "claim_tests.csv"):
        tests.setdefault(test.claim, []).append(test)
    lines = []
    for claim in claims:
        own = tests.get(claim.claim, [])
        barred = [test for test in own if test.outcome in (NOT_TESTED, NOT_MEASURED)]
        its_way = sum(test.effect > 0 for test in own)
        counts = [len(own), its_way, claim.n_hold, claim.n_reversed, len(barred)]
        numbers = counts if own else [""] * len(counts)
        remark = "; ".join(
            filter(None, (_barred_by(barred) if own else claim.reason, claim.readings))
        )
        lines.append([f"`{claim.claim}`", claim.meaning, claim.verdict, *numbers, remark])
    headings = ["claim", "the paper says", "verdict", "comparisons", "go its way", "hold"]
    return markdown_table([*headings, "reversed", "barred", "remark"], lines).rstrip("\n")


def _barred_by(barred: Sequence[ClaimTestRecord]) -> str:
    """What kept comparisons from being tested, and how many where it was not always the same."""
    kinds = Counter(_barrier(test.reason) for test in barred)
    counts = (f"{kind} ({number})" if len(kinds) > 1 else kind for kind, number in kinds.items())
    return f"barred: {', '.join(counts)}" if kinds else ""


def _barrier(reason: str) -> str:
    """The kind of barrier that the reason of a comparison names."""
    for pattern, kind in BARRIERS.items():
        before, after = pattern.split("{}")
        if reason.startswith(before) and reason.endswith(after):
            return kind
    return reason


def render_tables(results: Path) -> dict[str, str]:
    """The tables of a results folder by name.

    Raises:
        UserError: a table, or ``training.csv``, is missing or damaged.
    """
    record = read_tables(results)
    return {
        table.name: render_table(table, record.tables[table.name], record.seconds)
        for table in TABLES
    }


def render_table(table: Table, records: Sequence[TableRecord], seconds: Mapping[str, float]) -> str:
    """One results table: a part per column group, one line per row.

    A cell reads ``value [low, high] (published)``; a row without values gives its reason. Trained
    rows say with how many images, and in how many seconds. Cells that do not beat the fixed filter
    are marked.

    Args:
        table: its definition.
        records: of its CSV.
        seconds: training time of the runs that have one.
    """
    parts = [f"**{table.title}** (value [interval] (published value))"]
    if any(record.floor == NOT_ABOVE for record in records):
        # Rates have no floor of their own: they are marked by the PSNR of the same images.
        where = "in PSNR, " if table.recognition else ""
        mark = f"{BELOW_FLOOR}: {where}does not beat both the blurred images and {FLOOR}, a filter"
        parts.append(mark)
    printed = [record for record in records if record.published]
    if printed and all(record.verdict == NOT_COMPARABLE for record in printed):
        parts.append(INCOMPARABLE)
    for column in dict.fromkeys((record.test_set, record.subset) for record in records):
        own = [record for record in records if (record.test_set, record.subset) == column]
        parts.append(_group(*column, own, seconds))
    return "\n\n".join(parts) + "\n"


def _group(
    test_set: str, subset: str, records: Sequence[TableRecord], seconds: Mapping[str, float]
) -> str:
    rows = {row: list(cells) for row, cells in groupby(records, lambda record: record.row)}
    sources = {record.source for record in records} - {""}
    title = f"{TEST_SETS[test_set].title}, {'; '.join(sorted(sources)) or subset}"
    headings = [HEADINGS[cell.metric] for cell in next(iter(rows.values()))]
    lines = []
    for name, cells in rows.items():
        notes = {cell.reason for cell in cells if math.isnan(cell.value)}
        notes |= {cell.note for cell in cells} - {""}
        values = [_cell(cell) for cell in cells]
        lines.append([name, *values, _training(cells[0], seconds), "; ".join(sorted(notes))])
    return f"{title}\n\n" + markdown_table(["row", *headings, "trained on", "note"], lines)


def _training(cell: TableRecord, seconds: Mapping[str, float]) -> str:
    if cell.train_images is None:
        return ""
    images = f"{cell.train_images:,} images"
    return f"{images}, {seconds[cell.run]:.0f} s" if cell.run in seconds else images


def _cell(cell: TableRecord) -> str:
    text = bracketed(cell.value, cell.ci_low, cell.ci_high, DECIMALS[cell.metric]) or "-"
    if cell.floor == NOT_ABOVE:
        text += f" {BELOW_FLOOR}"
    return f"{text} ({cell.published})" if cell.published else text


def bracketed(value: float, low: float, high: float, digits: int = 2) -> str:
    """``value [low, high]``, rounded; without an interval the value, without a value nothing."""
    if not math.isfinite(value):
        return ""
    # Adding zero turns a rounded -0.00 into 0.00.
    texts = [f"{round(number, digits) + 0.0:.{digits}f}" for number in (value, low, high)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if math.isfinite(low) else texts[0]
