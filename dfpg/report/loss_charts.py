"""Loss terms of every training, one chart per run: their values and shares of the gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from markupsafe import Markup

from dfpg.core.config import Config
from dfpg.report.curves import read_validations
from dfpg.report.style import BLACK, GREY, PALE, PALETTE
from dfpg.report.svg import HEIGHT, draw_chart
from dfpg.training.imbalance import FAINT, LOUD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (*PALETTE, BLACK, GREY)
PARTS = ("solid", "dashed", "dotted")  # parts of a generator, in the order of its history
SHARE = "share."
LEAST = 1e-4  # lower end of the axis of shares
LEGEND_LINE = 0.16  # inches for each line of names below a chart
PER_LINE = 2  # names in it


class Line(NamedTuple):
    """One loss term: its values at each validation, and how it is drawn."""

    name: str
    values: list[float]
    colour: str
    style: str = PARTS[0]


def loss_charts(config: Config, history: Path, protocol: str) -> dict[str, list[Markup]]:
    """What the loss terms of a protocol's trainings did; a chart without lines is left out.

    ``terms``: each term's value, without its weight, as a multiple of its first one.
    ``shares``: its share of the gradient on each part of the generator
    (:func:`dfpg.training.diagnostics.gradient_shares`), with what counts as faint or loud in grey.

    Args:
        config: the profile.
        history: folder with a CSV per run.
        protocol: whose runs.

    Raises:
        UserError: a history is damaged.
    """
    found: dict[str, list[Markup]] = {"terms": [], "shares": []}
    for run, rows in read_validations(config, history, protocol).items():
        images = (rows["step"] * config.training.batch_size).tolist()
        if values := _values(rows):
            found["terms"].append(_chart(f"training-terms-{protocol}", run, images, values, False))
        if shares := _shares(rows):
            found["shares"].append(_chart(f"training-shares-{protocol}", run, images, shares, True))
    return {name: charts for name, charts in found.items() if charts}


def _values(rows: pd.DataFrame) -> list[Line]:
    """Every term of every optimiser: what stands between its columns and those of validation."""
    columns = list(rows.columns)
    if "loss_generator" not in columns:
        return []  # published weights
    terms = columns[columns.index("lr") + 1 : columns.index("validation_gain")]
    terms = [name for name in terms if not name.startswith(("loss_", "gradient_", SHARE))]
    return [
        Line(name, _multiples(rows[name]), colour)
        for name, colour in zip(terms, _cycle(COLOURS, len(terms)), strict=True)
    ]


def _multiples(values: pd.Series[float]) -> list[float]:
    """Values over the first that is neither missing nor 0."""
    known = [value for value in values if value and math.isfinite(value)]
    return (values / known[0]).tolist() if known else [math.nan] * len(values)


def _shares(rows: pd.DataFrame) -> list[Line]:
    names = [name for name in rows.columns if name.startswith(SHARE)]
    terms = list(dict.fromkeys(name.split(".")[1] for name in names))
    parts = list(dict.fromkeys(name.split(".")[2] for name in names))
    colours = dict(zip(terms, _cycle(COLOURS, len(terms)), strict=True))
    styles = dict(zip(parts, _cycle(PARTS, len(parts)), strict=True))
    lines = []
    for name in names:
        _, term, part = name.split(".")
        shown = f"{term} on {part}" if len(parts) > 1 else term
        lines.append(Line(shown, rows[name].tolist(), colours[term], styles[part]))
    return lines


def _cycle(looks: Sequence[str], count: int) -> list[str]:
    return [looks[number % len(looks)] for number in range(count)]


def _chart(
    prefix: str, run: str, images: Sequence[float], lines: Sequence[Line], shares: bool
) -> Markup:
    def draw(axes: Axes) -> None:
        if shares:
            for low, high in ((LEAST, FAINT), (LOUD, 1.0)):
                axes.axhspan(low, high, color=PALE, alpha=0.4, linewidth=0)
            axes.set_yscale("log")
            axes.set_ylim(LEAST, 1)
            axes.minorticks_off()
        for line in lines:
            axes.plot(
                images, line.values, ".", color=line.colour, linestyle=line.style, label=line.name
            )
        axes.set_xlabel("training images")
        axes.set_ylabel("share of the gradient" if shares else "multiple of its first value")
        axes.set_title(run)
        axes.figure.legend(loc="outside lower center", ncols=PER_LINE, handlelength=3)

    what = "share of the gradient" if shares else "value as a multiple of its first one"
    ends = ", ".join(f"{line.name} {_last(line):.3g}" for line in lines)
    words = f"Loss terms of {run} against training images, each one's {what}. At the end: {ends}."
    height = HEIGHT + LEGEND_LINE * -(-len(lines) // PER_LINE)
    return draw_chart(f"{prefix}-{run}", words, draw, height)


def _last(line: Line) -> float:
    """The last value that is not missing."""
    return next((value for value in reversed(line.values) if math.isfinite(value)), math.nan)
