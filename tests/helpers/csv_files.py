"""CSV files as a user sees them: texts by column."""

from __future__ import annotations

import csv
from pathlib import Path


def read_rows(path: Path) -> list[dict[str, str]]:
    """Lines of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


def pick_row(path: Path, **wanted: str) -> dict[str, str]:
    """The only line of a CSV file that has these fields."""
    (found,) = [row for row in read_rows(path) if wanted.items() <= row.items()]
    return found
