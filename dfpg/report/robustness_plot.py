"""PNG of ``robustness.csv``: what each run gains over the blurred input as the face is moved."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfpg.analysis.result_records import RobustnessRecord
from dfpg.core.config import Config
from dfpg.core.files import atomic_write
from dfpg.paper.tables import BASELINES, TEST_SETS
from dfpg.report.style import plot_settings, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOTS = 130  # per inch
BANDS = ("dfpg_a", "dfpg_b")  # twenty bands would hide each other
NOTE = (
    "Curves: mean over people, one image each. Bands: interval over people, drawn for DFPGnet's "
    "full models alone; all intervals are in results/robustness.csv."
)
FLOOR = -1.5  # dB; a run that stays below it is named, since it would flatten all others


def draw_robustness(config: Config, records: Sequence[RobustnessRecord], path: Path) -> None:
    """One row of charts per test set, one chart per transformation, all runs in each.

    Args:
        config: gives each run its style.
        records: of ``robustness.csv``.
        path: PNG to write; the same bytes for the same records.
    """
    from matplotlib.figure import Figure

    chosen = [r for r in records if r.metric == "psnr" and r.run not in BASELINES]
    test_sets = list(dict.fromkeys(record.test_set for record in chosen))
    transformations = list(dict.fromkeys(record.transformation for record in chosen))
    with plot_settings():
        figure = Figure(figsize=(10.5, 3.6 * len(test_sets) + 0.3))
        grid = figure.subplots(len(test_sets), len(transformations), sharey="row", squeeze=False)
        for line, test_set in zip(grid, test_sets, strict=True):
            for axes, transformation in zip(line, transformations, strict=True):
                points = [
                    r
                    for r in chosen
                    if (r.test_set, r.transformation) == (test_set, transformation)
                ]
                _draw(axes, config, points)
            line[0].set_ylabel("PSNR gain over the blurred input (dB)")
            title, protocol = TEST_SETS[test_set].title, TEST_SETS[test_set].protocol
            line[0].set_title(f"{title}, protocol {protocol.upper()}: {points[0].n_people} people")
            line[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
        figure.supxlabel(NOTE, fontsize=7.5)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=DOTS, metadata={"Software": None})
    with atomic_write(path) as target:
        target.write(stream.getvalue())


def _draw(axes: Axes, config: Config, points: Sequence[RobustnessRecord]) -> None:
    """Curves of one test set and transformation; amounts at equal distances."""
    amounts = list(dict.fromkeys(f"{point.amount:g}" for point in points))
    below = []
    for run in (name for name in config.runs if any(point.run == name for point in points)):
        own = [point for point in points if point.run == run]
        style = style_of(config, run)
        gain = [point.gain for point in own]
        low, high = [point.gain_low for point in own], [point.gain_high for point in own]
        if max(gain) < FLOOR:
            below.append(f"{run} {min(gain):.1f} to {max(gain):.1f} dB")
            continue
        places = range(len(own))
        axes.plot(
            places,
            gain,
            color=style.colour,
            linestyle=style.line,
            marker=style.marker,
            markersize=4,
            linewidth=1.2,
            label=run,
        )
        if run in BANDS:
            axes.fill_between(places, low, high, color=style.colour, alpha=0.15, linewidth=0)
    if below:
        text = "\n".join(["below the axis:", *below])
        axes.text(0.02, 0.02, text, transform=axes.transAxes, fontsize=6.5, va="bottom")
    axes.axhline(0, color="0.6", linewidth=0.8)
    axes.set_xticks(range(len(amounts)), amounts)
    axes.set_xlabel(f"{points[0].transformation} ({points[0].unit})")
