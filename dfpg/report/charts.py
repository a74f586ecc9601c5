"""Charts of one value per row: forests, the ablation, and quality against cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from markupsafe import Markup

from dfpg.analysis.estimates import Estimate
from dfpg.analysis.result_records import TableRecord
from dfpg.core.config import Config
from dfpg.paper.published import PublishedKey, published_values
from dfpg.paper.tables import HEADINGS, Column
from dfpg.report.style import BLACK, Style, style_of
from dfpg.report.svg import draw_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PER_ROW = 0.19  # inches of a forest's height
BIG = (3.6, 6.0)  # inches, height and width
# A run's name beside its point, in shares of the axes: width, height, and distance from the point.
NAME_WIDE, NAME_HIGH, NAME_GAP = 0.17, 0.045, 0.02


class Point(NamedTuple):
    """A value of one row with its interval; bounds equal to the value where there is none."""

    row: str
    run: str
    value: float
    low: float
    high: float


def column_points(records: Sequence[TableRecord], column: Column, metric: str) -> list[Point]:
    """The finite values of one column group and metric of a table, in its order."""
    return [
        Point(
            record.row,
            record.run,
            record.value,
            record.ci_low if math.isfinite(record.ci_low) else record.value,
            record.ci_high if math.isfinite(record.ci_high) else record.value,
        )
        for record in records
        if (record.test_set, record.subset, record.metric) == (*column, metric)
        and math.isfinite(record.value)
    ]


def forest_chart(
    config: Config, name: str, title: str, metric: str, found: Sequence[Point]
) -> Markup:
    """Values of one column with their intervals, one line per row."""

    def draw(axes: Axes) -> None:
        for place, point in enumerate(found):
            _draw_interval(axes, (point.value, place), point, style_of(config, point.run), "x")
        axes.set_yticks(range(len(found)), [point.row for point in found])
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_xlabel(HEADINGS[metric])
        # Over the names of the rows, too: beside them a long one would be cut off.
        axes.figure.suptitle(title, x=0.0, ha="left")

    words = f"{title}: {HEADINGS[metric]} with intervals. {_describe_points(found)}"
    return draw_chart(name, words, draw, 0.8 + PER_ROW * len(found))


def ablation_chart(config: Config, metric: str, found: Sequence[Point]) -> Markup:
    """Values of Table 4's models with their intervals, from B1 to B6."""

    def draw(axes: Axes) -> None:
        for place, point in enumerate(found):
            _draw_interval(axes, (place, point.value), point, style_of(config, point.run), "y")
        _label_models(axes, [point.row for point in found], metric)
        axes.set_title("measured here")

    words = f"Ablation, measured here: {HEADINGS[metric]} with intervals. {_describe_points(found)}"
    return draw_chart(f"ablation-{metric}", words, draw)


def published_ablation_chart(metric: str) -> Markup:
    """The paper's values of Table 4, on an axis of their own: its images are others."""
    found = {
        key.row: published.value
        for key, published in published_values().items()
        if key == PublishedKey("table4", key.row, "mspl_center", "mean", metric)
    }

    def draw(axes: Axes) -> None:
        axes.plot(range(len(found)), list(found.values()), "o", color=BLACK, fillstyle="none")
        _label_models(axes, list(found), metric)
        axes.set_title("published, no intervals")

    values = ", ".join(f"{row} {value:g}" for row, value in found.items())
    return draw_chart(f"ablation-paper-{metric}", f"Ablation, published: {metric}: {values}.", draw)


def _label_models(axes: Axes, names: Sequence[str], metric: str) -> None:
    axes.set_xticks(range(len(names)), [name.upper().replace("_", "\n") for name in names])
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel(HEADINGS[metric])
    axes.margins(y=0.15)


class CostAxis(NamedTuple):
    """A quantity that PSNR is drawn against, on a logarithmic axis."""

    name: str
    label: str


GMACS = CostAxis("gmacs", "GMACs for one picture of 128 x 128 px")
SECONDS = CostAxis("seconds", "training time (s)")


def tradeoff_chart(
    config: Config,
    name: str,
    title: str,
    psnr: Mapping[str, Estimate],
    costs: Mapping[str, float],
    against: CostAxis,
) -> Markup:
    """PSNR with its interval against what it costs; points carry their names.

    Args:
        config: gives each run its style.
        name: prefix of the ids.
        title: which test set.
        psnr: in dB, by run; ``blurred`` is drawn as a level.
        costs: by run; runs without one are left out.
        against: what the costs are.
    """
    drawn = [run for run in psnr if costs.get(run, 0) > 0]

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        if "blurred" in psnr:
            style = style_of(config, "blurred")
            axes.axhline(psnr["blurred"].mean, color=style.colour, linestyle=style.line)
        for run in drawn:
            place = (costs[run], psnr[run].mean)
            _draw_interval(axes, place, Point(run, run, *psnr[run]), style_of(config, run), "y")
        axes.set_xscale("log")
        axes.margins(x=0.15, y=0.12)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel=against.label, ylabel="PSNR (dB)")
        axes.set_title(title)
        _label_points(axes, {run: (costs[run], psnr[run].mean) for run in drawn})

    values = "; ".join(f"{run} {psnr[run].mean:.2f} dB at {costs[run]:.4g}" for run in drawn)
    words = f"{title}: PSNR in dB against {against.label}. {values}. Dotted: blurred images."
    return draw_chart(name, words, draw, *BIG)


def _label_points(axes: Axes, places: Mapping[str, tuple[float, float]]) -> None:
    """Write each run's name near its point, no name over another or over a point."""
    cast("Figure", axes.figure).draw_without_rendering()  # settles limits and layout
    to_axes = axes.transData + axes.transAxes.inverted()
    dots = {run: tuple(map(float, to_axes.transform(place))) for run, place in places.items()}
    taken: list[tuple[float, float]] = []
    offsets = sorted((NAME_HIGH / 2 * step for step in range(-40, 41)), key=abs)
    for run, (x, y) in sorted(dots.items(), key=lambda item: item[1][::-1]):
        candidates = [
            (left, y + offset)
            for offset in offsets
            for left in (x + NAME_GAP, x - NAME_GAP - NAME_WIDE)
            if 0 <= left <= 1 - NAME_WIDE / 2 and NAME_HIGH / 2 < y + offset < 1
        ]
        free = (place for place in candidates if _is_free(place, taken, list(dots.values())))
        left, middle = next(free, (x + NAME_GAP, y))
        taken.append((left, middle))
        right = left < x
        axes.annotate(
            run,
            places[run],
            (left + NAME_WIDE if right else left, middle),
            textcoords="axes fraction",
            fontsize=7,
            ha="right" if right else "left",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkA": 0},
        )


def _is_free(
    place: tuple[float, float],
    taken: Sequence[tuple[float, float]],
    dots: Sequence[tuple[float, ...]],
) -> bool:
    """Whether a name whose left middle is at ``place`` meets no other name and no point."""
    left, middle = place
    names = all(abs(left - a) >= NAME_WIDE or abs(middle - b) >= NAME_HIGH for a, b in taken)
    return names and all(
        not (left - 0.01 < x < left + NAME_WIDE and abs(middle - y) < NAME_HIGH / 2 + 0.01)
        for x, y in dots
    )


def _draw_interval(
    axes: Axes, place: tuple[float, float], point: Point, style: Style, along: str
) -> None:
    """A marker with the interval's whiskers along an axis."""
    errors = [[point.value - point.low], [point.high - point.value]]
    axes.errorbar(
        *place,
        xerr=errors if along == "x" else None,
        yerr=errors if along == "y" else None,
        color=style.colour,
        marker=style.marker,
        linestyle="none",
        elinewidth=1.1,
        capsize=2,
    )


def _describe_points(found: Sequence[Point]) -> str:
    return "; ".join(f"{p.row} {p.value:.4g} ({p.low:.4g} to {p.high:.4g})" for p in found) + "."
