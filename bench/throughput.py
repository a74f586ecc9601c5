"""``python -m bench.throughput JSON``: results/throughput-<device>.csv from a benchmark's JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from bench.facts import ROOT, device_slug
from dfpg.core.errors import UserError
from dfpg.core.files import write_text

# Columns by number of significant digits; 0: as it is.
COLUMNS = {
    "benchmark": 0,
    "subject": 0,
    "variant": 0,
    "image_size": 0,
    "batch": 0,
    "best_s": 4,
    "median_s": 4,
    "worst_s": 4,
    "rounds": 0,
    "images_per_s": 4,
    "ms_per_image": 4,
    "gmacs_per_image": 4,
    "gflops": 4,
    "peak_gflops": 4,
    "fraction_of_peak": 3,
    "fraction_of_peak_best": 3,
    "peak_memory_mb": 4,
    "load": 3,
    "device": 0,
    "device_name": 0,
    "threads": 0,
    "arithmetic": 0,
    "python": 0,
    "torch": 0,
    "commit": 0,
}
KEYS = ["benchmark", "subject", "image_size", "batch", "variant"]


def table(report: dict[str, Any]) -> pd.DataFrame:
    """One row per measurement, all values text: equal reports give equal tables.

    Args:
        report: what pytest-benchmark wrote.

    Raises:
        UserError: a measurement lacks one of ``COLUMNS``, or there is none.
    """
    rows = []
    for entry in report.get("benchmarks", []):
        facts = entry["extra_info"]
        missing = sorted(COLUMNS.keys() - facts.keys())
        if missing:
            raise UserError(f"{entry['fullname']}: no {missing[0]} beside its times: measure again")
        rows.append({name: text(facts[name], digits) for name, digits in COLUMNS.items()})
    if not rows:
        raise UserError("no measurement in the report: run `make bench`")
    order = sorted(rows, key=lambda row: [_sort_key(row[key]) for key in KEYS])
    return pd.DataFrame(order, columns=list(COLUMNS))


def text(value: Any, digits: int) -> str:
    """A value for the CSV: empty for None, ``digits`` significant digits, never an exponent."""
    if value is None:
        return ""
    if not digits:
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.12f}".rstrip("0").rstrip(".")


def write(report: Path, results: Path) -> Path:
    """Write the table of ``report`` into ``results``, named after its device.

    Raises:
        UserError: unreadable report, several devices in it, or as :func:`table`.
    """
    try:
        content = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{report}: no readable benchmark report; run `make bench`") from error
    rows = table(content)
    devices = rows[["device", "device_name"]].drop_duplicates()
    if len(devices) > 1:
        raise UserError(f"{report}: figures of several devices in one report; measure again")
    path = results / f"throughput-{device_slug(*devices.iloc[0])}.csv"
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))
    return path


def _sort_key(value: str) -> tuple[int, float, str]:
    """Numbers by size, before text."""
    return (0, float(value), "") if value.isdigit() else (1, 0.0, value)


def main(arguments: list[str]) -> int:
    """Write the CSV of one JSON; exit code 2 where that fails."""
    try:
        if len(arguments) != 1:
            raise UserError("usage: python -m bench.throughput REPORT.json")
        print(write(Path(arguments[0]), ROOT / "results"))
    except UserError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
