"""The tables as LaTeX, for papers: `booktabs` in the preamble, nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dfpg.core.errors import escape_text
from dfpg.report.table_layout import (
    BELOW_FLOOR,
    MINUS,
    NO_VALUE,
    PrintedCell,
    PrintedPanel,
    PrintedRow,
    PrintedTable,
)

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    MINUS: "$-$",
    NO_VALUE: "--",
    BELOW_FLOOR: r"$^\dagger$",
}


def latex_tables(tables: Iterable[PrintedTable]) -> str:
    """All tables, one ``table*`` per test set; below each value its interval, then the paper's."""
    parts = ["% Made by `dfpg report`; needs \\usepackage{booktabs}."]
    parts += [_panel(table, panel) for table in tables for panel in table.panels]
    return "\n\n".join(parts) + "\n"


def _panel(table: PrintedTable, panel: PrintedPanel) -> str:
    width = len(panel.metrics)
    head = [f"\\multicolumn{{{width}}}{{c}}{{{escape(name)}}}" for name in panel.groups]
    names = [escape(name) for _ in panel.groups for name in panel.metrics]
    caption = f"{table.title}; {panel.title}. Value, interval and, in brackets, published value."
    if any(cell.floor for line in panel.lines for cell in line.cells):
        caption += f" {BELOW_FLOOR}: does not beat a fixed filter and the blurred images."
    label = f"tab:{table.name}-{re.sub(r'[^a-z]+', '-', panel.title.lower())}"
    lines = [
        r"\begin{table*}",
        r"\centering\tiny\setlength{\tabcolsep}{2pt}",
        f"\\caption{{{escape(caption)}}}\\label{{{label}}}",
        f"\\begin{{tabular}}{{l{'c' * width * len(panel.groups)}}}",
        r"\toprule",
        _row(["", *head]),
        _row(["", *names]),
        r"\midrule",
        *(text for line in panel.lines for text in _lines(line)),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _lines(line: PrintedRow) -> list[str]:
    rows = [
        [escape(line.key), *(_value(cell) for cell in line.cells)],
        ["", *(f"[{escape(cell.interval)}]" if cell.interval else "" for cell in line.cells)],
        ["", *(f"({escape(cell.published)})" if cell.published else "" for cell in line.cells)],
    ]
    return [_row(row) for number, row in enumerate(rows) if number == 0 or any(row)]


def _value(cell: PrintedCell) -> str:
    text = escape(cell.value + cell.floor)
    return f"\\textbf{{{text}}}" if cell.best else text


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Text with LaTeX's special characters made printable."""
    return "".join(SPECIAL.get(character, character) for character in escape_text(text))
