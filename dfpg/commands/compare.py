"""Do two result folders agree, value by value, within stated tolerances?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import TableRecord
from dfpg.analysis.tolerances import RELATIVE, ROUNDING, TRAINED, UNTRAINED
from dfpg.core.errors import UserError
from dfpg.core.files import read_json
from dfpg.paper.tables import BASELINES, CLASSICAL, VGGFACE


@dataclass(frozen=True)
class Difference:
    """A value in which two folders differ by more than the tolerance."""

    where: str
    first: float  # NaN: no value
    second: float
    tolerance: float

    def __str__(self) -> str:
        """One line, e.g. ``table1 blurred shen/helen psnr: 22.80 against 22.91 (...)``."""
        return (
            f"{self.where}: {_format_value(self.first)} against {_format_value(self.second)} "
            f"(tolerance {self.tolerance:.3g})"
        )


@dataclass(frozen=True)
class FolderComparison:
    """Outcome: how many values were compared, which differ, and how the machines differ."""

    values: int
    differences: tuple[Difference, ...]
    settings: tuple[str, ...]

    @property
    def agree(self) -> bool:
        """Whether every value lies within its tolerance."""
        return not self.differences

    def __str__(self) -> str:
        """Report for the terminal."""
        lines = [f"differs: {line}" for line in self.differences]
        lines += [f"note: {line}" for line in self.settings]
        outcome = "agree" if self.agree else f"{len(self.differences)} differ"
        return "\n".join([*lines, f"{self.values} values compared: {outcome}"])


def compare(
    first: Path,
    second: Path,
    untrained: Mapping[str, float] = UNTRAINED,
    trained: Mapping[str, float] = TRAINED,
) -> FolderComparison:
    """Compare the tables of two result folders.

    Args:
        first: folder with ``table*.csv``; relative tolerances refer to it.
        second: the other one.
        untrained: tolerance per metric for the rows ``sharp`` and ``blurred``.
        trained: tolerance per metric for all other rows, and for d_VGG by a trained stand-in.

    Raises:
        UserError: one is no folder, a table is missing in one, they hold different profiles, or a
            metric has no tolerance.
    """
    for folder in (first, second):
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder")
    names = sorted({path.name for folder in (first, second) for path in _tables(folder)})
    if not names:
        raise UserError(f"{first}, {second}: no table*.csv in either; name two result folders")
    differences: list[Difference] = []
    count = 0
    for name in names:
        one, two = _read_table(first / name), _read_table(second / name)
        profiles = [", ".join(sorted({value.profile for value in t.values()})) for t in (one, two)]
        if profiles[0] != profiles[1]:
            raise UserError(
                f"{name}: profile {profiles[0]} in {first}, {profiles[1]} in {second}: "
                "only results of one profile can be compared"
            )
        for key, known in {**two, **one}.items():
            left, right = (t[key].value if key in t else math.nan for t in (one, two))
            count += math.isfinite(left) or math.isfinite(right)
            tolerance = _tolerance(known, untrained, trained)
            if not _is_close(left, right, tolerance, key[-1] in RELATIVE):
                where = f"{name.removesuffix('.csv')} {' '.join(key)}"
                differences.append(Difference(where, left, right, tolerance))
    return FolderComparison(count, tuple(differences), _settings(first, second))


def _read_table(path: Path) -> dict[tuple[str, str, str], TableRecord]:
    """Records of a table by (row, test set/subset, metric)."""
    return {
        (record.row, f"{record.test_set}/{record.subset}", record.metric): record
        for record in read_records(TableRecord, path)
    }


def _format_value(value: float) -> str:
    return f"{value:.5f}" if math.isfinite(value) else "no value"


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("table*.csv"))


def _tolerance(
    value: TableRecord, untrained: Mapping[str, float], trained: Mapping[str, float]
) -> float:
    """Tolerance of a value, by its metric and by whether training touched it."""
    touched = value.row not in (*BASELINES, *CLASSICAL) or value.prior not in ("", VGGFACE)
    tolerances = trained if touched else untrained
    if value.metric not in tolerances:
        raise UserError(f"compare: no tolerance for metric {value.metric!r}: state one")
    return tolerances[value.metric]


def _is_close(one: float, two: float, tolerance: float, relative: bool) -> bool:
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    limit = tolerance * abs(one) if relative else tolerance
    return abs(one - two) <= limit + ROUNDING


def _settings(first: Path, second: Path) -> tuple[str, ...]:
    """What ``environment.json`` says of the two machines where it differs; empty without it."""
    try:
        one, two = (read_json(folder / "environment.json") for folder in (first, second))
    except (OSError, ValueError):
        return ()
    names = dict.fromkeys((*one, *two))
    return tuple(
        f"{name}: {one.get(name)} against {two.get(name)}"
        for name in names
        if one.get(name) != two.get(name)
    )
