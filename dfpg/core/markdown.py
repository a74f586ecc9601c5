"""Tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from dfpg.core.errors import escape_text


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are not padded; each is escaped (:func:`escape_cell`)."""
    cells = [[escape_cell(cell) for cell in row] for row in (headings, *rows)]
    return tabulate(cells[1:], cells[0], "github", disable_numparse=True, stralign=None)


def escape_cell(text: str) -> str:
    """Text of one table cell: no new cell or line, no HTML, no link or picture."""
    text = escape_text(text).replace("\\", "\\\\").replace("|", "\\|").replace("](", "]\\(")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
