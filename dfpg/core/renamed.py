"""Names that files had in earlier versions, and what they are now."""

from __future__ import annotations

from collections.abc import Collection

# Columns of CSV files: old name -> new one.
COLUMNS = {
    "protocol": "test_set",
    "weakest_protocol": "weakest_test_set",
}


def absent_column(name: str, present: Collection[str]) -> str:
    """What a file without a column lacks: the column, or that it has it by an old name."""
    for old, new in COLUMNS.items():
        if new == name and old in present:
            return f"column {old!r} is now {new!r}"
    return f"no column {name!r}"
