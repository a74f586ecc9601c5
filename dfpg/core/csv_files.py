"""CSV whose texts no spreadsheet takes for formulas, and that are read back as they were.

Names of files and people come from others. A spreadsheet computes a cell that begins with ``=``,
``+``, ``-`` or ``@``, so such a text is written with an apostrophe before it; numbers stay.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

APOSTROPHE = "'"
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", APOSTROPHE)


def to_cell(text: str) -> str:
    """A text as it is written; :func:`from_cell` gives it back."""
    if len(text) < 2 or not text.startswith(STARTS) or _is_number(text):
        return text
    return APOSTROPHE + text


def from_cell(cell: str) -> str:
    """The text of a written cell."""
    if cell.startswith(APOSTROPHE) and cell[1:].startswith(STARTS):
        return cell[1:]
    return cell


def to_csv(frame: pd.DataFrame, **options: Any) -> str:
    """A frame as CSV with Unix line ends; ``options`` are those of pandas."""
    text: str = _changed(frame, to_cell).to_csv(lineterminator="\n", **options)
    return text


def from_csv(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame that pandas read, with the texts that :func:`to_csv` was given."""
    return _changed(frame, from_cell)


def _changed(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    made = frame.copy()
    for name in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            made[name] = frame[name].map(lambda x: change(x) if isinstance(x, str) else x)
    return made


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
