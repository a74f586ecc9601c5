"""Do two result folders agree, value by value, within stated tolerances?"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dfpg.core.errors import UserError
from dfpg.paper.tables import BASELINES, VGGFACE

# Absolute, except d_VGG: relative to the first folder's value. Images that no training touched
# differ between machines by the rounding of single pixels only; trained rows also by the order of
# sums and by precision (bf16 on one machine, fp32 on the other), which training amplifies.
UNTRAINED = {"psnr": 0.005, "ssim": 0.0002, "lpips": 0.0005, "d_vgg": 0.002}
TRAINED = {"psnr": 0.05, "ssim": 0.003, "lpips": 0.005, "d_vgg": 0.02}
# Rates in percent: one image of a hundred is one point.
RATES = (
    "detection_pct",
    "detection_scrfd_pct",
    "verification_acc_pct",
    "verification_strict_acc_pct",
)
UNTRAINED |= dict.fromkeys(RATES, 1.1)
TRAINED |= dict.fromkeys(RATES, 5.0)  # assumed
RELATIVE = ("d_vgg",)
ROUNDING = 1e-9  # of the subtraction; tables have five decimals

Value = dict[str, str]


@dataclass(frozen=True)
class Difference:
    """A value in which two folders differ by more than the tolerance."""

    where: str
    first: str
    second: str
    tolerance: float

    def __str__(self) -> str:
        """One line, e.g. ``table1 blurred shen/helen psnr: 22.80 against 22.91 (...)``."""
        return (
            f"{self.where}: {self.first or 'no value'} against {self.second or 'no value'} "
            f"(tolerance {self.tolerance:.3g})"
        )


@dataclass(frozen=True)
class Comparison:
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
) -> Comparison:
    """Compare the tables of two result folders.

    Args:
        first: folder with ``table*.csv``; relative tolerances refer to it.
        second: the other one.
        untrained: tolerance per metric for the rows ``sharp`` and ``blurred``.
        trained: tolerance per metric for all other rows, and for d_VGG by a trained stand-in.

    Raises:
        UserError: a table is missing in one folder, the folders hold different profiles, or a
            metric has no tolerance.
    """
    names = sorted({path.name for folder in (first, second) for path in _tables(folder)})
    if not names:
        raise UserError(f"{first}, {second}: no table*.csv in either; name two result folders")
    differences: list[Difference] = []
    count = 0
    for name in names:
        one, two = _read(first / name), _read(second / name)
        profiles = [
            ", ".join(sorted({value["profile"] for value in t.values()})) for t in (one, two)
        ]
        if profiles[0] != profiles[1]:
            raise UserError(
                f"{name}: profile {profiles[0]} in {first}, {profiles[1]} in {second}: "
                "only results of one profile can be compared"
            )
        for key in {**one, **two}:
            value, other = one.get(key), two.get(key)
            tolerance = _tolerance(value or other or {}, untrained, trained)
            left, right = value["value"] if value else "", other["value"] if other else ""
            count += bool(left or right)
            if not _close(left, right, tolerance, key[-1] in RELATIVE):
                where = f"{name.removesuffix('.csv')} {' '.join(key)}"
                differences.append(Difference(where, left, right, tolerance))
    return Comparison(count, tuple(differences), _settings(first, second))


def _read(path: Path) -> dict[tuple[str, str, str], Value]:
    """Records of a table by (row, test set/subset, metric)."""
    try:
        records = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        return {
            (record["row"], f"{record['protocol']}/{record['subset']}", record["metric"]): record
            for record in records
        }
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such table; run the tables stage in that folder") from error
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: no table of results; run the tables stage again") from error


def _tables(folder: Path) -> list[Path]:
    return sorted(folder.glob("table*.csv"))


def _tolerance(value: Value, untrained: Mapping[str, float], trained: Mapping[str, float]) -> float:
    """Tolerance of a value, by its metric and by whether training touched it."""
    touched = value["row"] not in BASELINES or value["prior"] not in ("", VGGFACE)
    tolerances = trained if touched else untrained
    if value["metric"] not in tolerances:
        raise UserError(f"compare: no tolerance for metric {value['metric']!r}: state one")
    return tolerances[value["metric"]]


def _close(one: str, two: str, tolerance: float, relative: bool) -> bool:
    if not one or not two:
        return one == two
    limit = tolerance * abs(float(one)) if relative else tolerance
    return abs(float(one) - float(two)) <= limit + ROUNDING


def _settings(first: Path, second: Path) -> tuple[str, ...]:
    """What ``environment.json`` says of the two machines where it differs; empty without it."""
    try:
        one, two = (
            json.loads((folder / "environment.json").read_text()) for folder in (first, second)
        )
    except (OSError, ValueError):
        return ()
    names = dict.fromkeys((*one, *two))
    return tuple(
        f"{name}: {one.get(name)} against {two.get(name)}"
        for name in names
        if one.get(name) != two.get(name)
    )
