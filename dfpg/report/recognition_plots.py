"""PNG plots of ``roc.csv`` and ``verification_histogram.csv``; the same bytes for the same CSV."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import HistogramRecord, RocRecord, TableRecord
from dfpg.core.config import Config
from dfpg.core.files import atomic_write
from dfpg.report.style import NEGATIVE, POSITIVE, Style, style_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 120  # per inch
COLUMNS = 3  # of the histogram's panels


def draw_recognition(config: Config, results: Path, figures: Path) -> None:
    """Draw ``roc.png`` and ``verification_histogram.png``.

    Args:
        config: gives each run its style.
        results: what the stage ``tables`` wrote.
        figures: folder of the plots.

    Raises:
        UserError: a file of ``results`` is missing or damaged.
    """
    rows = read_records(TableRecord, results / "table3.csv")
    styles = {record.row: style_of(config, record.run) for record in rows if record.run}
    draw_roc(read_records(RocRecord, results / "roc.csv"), styles, figures / "roc.png")
    counts = read_records(HistogramRecord, results / "verification_histogram.csv")
    draw_histogram(counts, figures / "verification_histogram.png")


def draw_roc(records: Sequence[RocRecord], styles: Mapping[str, Style], path: Path) -> None:
    """ROC of every row, mode strict, probes aligned by the points detected in them.

    Args:
        records: of ``roc.csv``; without any, the axes are empty.
        styles: of every row.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    chosen = [record for record in records if record.alignment == "detected"]
    for name in dict.fromkeys(record.row for record in chosen):
        points = [record for record in chosen if record.row == name]
        axes.step(
            [point.far for point in points],
            [point.tar for point in points],
            where="post",
            label=name,
            color=styles[name].colour,
            linestyle=styles[name].line,
            marker=styles[name].marker,
            markevery=0.2,
            markersize=4,
            linewidth=1,
        )
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, linestyle=":")
    axes.set(
        xlabel="false acceptance rate", ylabel="true acceptance rate", xlim=(0, 1), ylim=(0, 1)
    )
    axes.set_title("Verification, strict: faces not found are never accepted", fontsize=9)
    if chosen:
        axes.legend(fontsize=7, loc="lower right")
    _save(figure, path)


def draw_histogram(records: Sequence[HistogramRecord], path: Path) -> None:
    """Squared distances of positive and negative pairs, one panel per row.

    Args:
        records: of ``verification_histogram.csv``; without any, one panel is empty.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(record.row for record in records))
    lines = max(1, -(-len(names) // COLUMNS))
    figure = Figure(figsize=(9, 2 * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, sharex=True, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        for kind, color in (("positive", POSITIVE), ("negative", NEGATIVE)):
            bins = [r for r in records if (r.row, r.kind) == (name, kind)]
            places = [record.distance for record in bins]
            counts = [record.count or 0 for record in bins]
            panel.fill_between(places, counts, step="mid", color=color, alpha=0.5, label=kind)
        panel.set_title(name, fontsize=8)
        panel.tick_params(labelsize=7)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    if names:
        panels[0].legend(fontsize=7)
        figure.supxlabel("squared distance of unit embeddings", fontsize=8)
        figure.supylabel("pairs", fontsize=8)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS, metadata={"Software": None})
    with atomic_write(path) as target:
        target.write(stream.getvalue())
