"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are written as they are, not padded; ``|`` in a cell is escaped."""
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (headings, *rows)]
    return tabulate(cells[1:], cells[0], "github", disable_numparse=True, stralign=None)
