"""Why a comparison cannot be judged: no scores, unequal trainings, or a row under the floor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dfpg.analysis.floor import ABOVE, NOT_ABOVE, Floor
from dfpg.analysis.paired_scores import PairedScores
from dfpg.analysis.training_cost import Length
from dfpg.paper.claims import ROBUSTNESS, Comparison
from dfpg.paper.tables import BASELINES, FLOOR, MEAN, TABLES, Cell, Column

NOT_TESTED, NOT_MEASURED = "not tested", "not measured"
RUN_OF_ROW = {(table.name, row.key): row.run for table in TABLES for row in table.rows}
NO_ROBUSTNESS_SCORES = "run `dfpg robustness`"
UNDER_FLOOR = "{} is not above the floor"
NO_FLOOR = f"{FLOOR} was not scored: run `dfpg evaluate classical`"

Scores = Mapping[Cell, PairedScores]


def find_absence(scores: Scores, comparison: Comparison) -> str:
    """Why a comparison has no scores; empty where it has."""
    cell = comparison.cell
    for column in [cell.column, *([comparison.against] if comparison.against else [])]:
        paired = scores.get(cell._replace(column=column))
        if paired is None:
            if cell.table == ROBUSTNESS:
                return NO_ROBUSTNESS_SCORES
            return f"no scores of {column_label(column)} {cell.metric}"
        absent = [name for name in runs_of(comparison) if name not in paired.runs]
        if absent:
            return f"no scores of {absent[0]}"
    return ""


def find_barrier(
    lengths: Mapping[str, Length],
    floor: Floor | None,
    comparison: Comparison,
    convention: str,
    off_task: Iterable[str],
) -> tuple[str, str]:
    """Outcome and reason of a comparison that has scores; empty where nothing stands in the way.

    Args:
        lengths: of the runs' trainings; empty: not asked for.
        floor: None: not asked for.
        comparison: of two rows.
        convention: of its metric.
        off_task: rows that the floor is not asked of.
    """
    standing, why = _length_outcome(lengths, comparison)
    return (standing, why) if standing else _floor_outcome(floor, comparison, convention, off_task)


def _length_outcome(lengths: Mapping[str, Length], comparison: Comparison) -> tuple[str, str]:
    """Outcome and reason where one training is too short; empty where nothing stands in the way."""
    rows = comparison.better, comparison.worse
    better, worse = (lengths.get(run) for run in runs_of(comparison))
    if better is None or worse is None or better.images == worse.images:
        return "", ""
    if min(better, worse).whole:
        return "", ""
    return NOT_TESTED, (
        f"{rows[0]} was trained on {better.images:,} images, {rows[1]} on {worse.images:,}"
    )


def _floor_outcome(
    floor: Floor | None, comparison: Comparison, convention: str, off_task: Iterable[str]
) -> tuple[str, str]:
    """Outcome and reason where a row is not above the floor; empty where nothing stands in the way.

    A change, as from centred to moved faces, is judged where it starts: a network that falls under
    the floor at its end is what such a claim is about.
    """
    if floor is None:
        return "", ""
    cell = comparison.cell
    curve = cell.table == ROBUSTNESS
    column = Column(cell.column.test_set, MEAN) if curve else comparison.against or cell.column
    for row in (comparison.better, comparison.worse):
        if row in off_task or row in BASELINES:
            continue
        run = run_of_row(cell.table, row)
        standing = floor.standing(column, run, "psnr" if curve else convention)
        if standing == NOT_ABOVE:
            return NOT_TESTED, UNDER_FLOOR.format(row)
        if standing != ABOVE:
            return NOT_MEASURED, NO_FLOOR
    return "", ""


def runs_of(comparison: Comparison) -> tuple[str, str]:
    """The runs behind the better and the worse row."""
    better, worse = (
        run_of_row(comparison.cell.table, row) for row in (comparison.better, comparison.worse)
    )
    return str(better), str(worse)


def run_of_row(table: str, row: str) -> str | None:
    """The run behind a row; the curve's rows are runs."""
    return row if table == ROBUSTNESS else RUN_OF_ROW[table, row]


def column_label(column: Column) -> str:
    """Test set and subset, as in messages."""
    return f"{column.test_set}/{column.subset}"
