"""One look for all figures: a method has the same colour and marker wherever it is drawn.

Colours are those of Okabe and Ito (2008), which colour-blind readers tell apart, without their
yellow, which white paper swallows. There are more methods than colours, so that no figure relies
on colour alone: a method has its own marker, its runs have line styles, and names are written out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from dfpg.core.config import Config
from dfpg.paper.tables import BASELINES, CLASSICAL, FLOOR

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE, GRID, WHITE = "#666666", "#C4C4C4", "#E6E6E6", "#FFFFFF"
PALETTE = (ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE)
# (colour, marker) of a method; no two are alike.
METHOD_STYLES = {
    "sharp": (BLACK, "*"),
    "blurred": (GREY, "x"),
    "richardson_lucy": (GREY, "1"),
    "wiener": (GREY, "2"),
    "dfpgnet": (VERMILLION, "o"),
    "lee2020": (BLUE, "s"),
    "shen2018": (GREEN, "^"),
    "lu2019": (ORANGE, "v"),
    "xia2019": (PURPLE, "D"),
    "yasarla2020": (SKY, "P"),
    "zhang2019": (BLACK, "X"),
    "li2020": (ORANGE, "<"),
    "wang2021": (GREEN, ">"),
    "nafnet": (PURPLE, "h"),
    "restormer": (SKY, "p"),
}
OTHER_MARKER = "d"  # marker of a method that is not in the list
LINES = (
    *("solid", "dashed", "dashdot", "dotted"),
    *((0, (6, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2, 1, 2)), (0, (5, 4))),
)
POSITIVE, NEGATIVE = BLUE, VERMILLION


class Style(NamedTuple):
    """How one run is drawn."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


def style_of(config: Config, run: str) -> Style:
    """Style of a run, baseline or submission; runs of one method differ in their lines alone.

    A submission, and a method that is not listed here, takes a colour by its name: the same in
    every figure.
    """
    if run in BASELINES:
        return Style(*METHOD_STYLES[run], "solid" if run == "sharp" else "dotted")
    if run in CLASSICAL:
        return Style(*METHOD_STYLES[run], "dashed" if run == FLOOR else "dashdot")
    if run not in config.runs:
        return Style(_colour(run), OTHER_MARKER, "solid")
    method = config.runs[run].method
    colour, marker = METHOD_STYLES.get(method, (_colour(method), OTHER_MARKER))
    alike = [name for name, settings in config.runs.items() if settings.method == method]
    return Style(colour, marker, LINES[alike.index(run) % len(LINES)])


@contextmanager
def plot_settings() -> Iterator[None]:
    """Matplotlib's settings for small figures; text in an SVG stays text, bytes stay the same."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "axes.edgecolor": GREY,
        "axes.grid": True,
        "axes.labelsize": 8,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "figure.constrained_layout.use": True,
        "figure.titlesize": 9,
        "figure.titleweight": "bold",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 8,
        "grid.color": GRID,
        "legend.fontsize": 7,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "svg.fonttype": "none",
        "svg.hashsalt": "dfpg",
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
    }
    with mpl.rc_context(settings):
        yield


def _colour(method: str) -> str:
    return PALETTE[hashlib.sha256(method.encode()).digest()[0] % len(PALETTE)]
