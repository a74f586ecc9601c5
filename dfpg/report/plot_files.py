"""Charts of the report as SVG files, for ``dvc plots``: pictures need nothing from elsewhere.

DVC draws CSV files with scripts that the reader's browser would have to fetch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from markupsafe import Markup

from dfpg.core.files import write_text

SCALE = 1.5  # CSS pixels for each point of a chart


def write_plots(folder: Path, charts: Iterable[Markup]) -> None:
    """Write each chart as ``NAME.svg``; files of charts that are no more are removed.

    Args:
        folder: where.
        charts: of :func:`dfpg.report.svg.draw_chart`, whose names become the files'.
    """
    files = dict(map(_svg_file, charts))
    for path in folder.glob("*.svg"):
        if path.name not in files:
            path.unlink()
    for name, text in files.items():
        write_text(folder / name, text)


def _svg_file(chart: Markup) -> tuple[str, str]:
    """Name and text of a chart as a file of its own: with a size, and on white."""
    head = re.match(
        r'<svg viewBox="0 0 (\S+) (\S+)" role="img" aria-labelledby="(\S+)-title">', chart
    )
    if head is None:
        raise ValueError(f"not a chart of the report: {chart[:80]}")
    width, height = (round(SCALE * float(side)) for side in head.groups()[:2])
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'style="background: #fff" '
    )
    return f"{head[3]}.svg", start + str(chart)[len("<svg ") :] + "\n"
