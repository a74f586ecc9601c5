"""Matplotlib figures as SVG elements that stand inside an HTML page, text selectable."""

from __future__ import annotations

import io
import re
from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

from dfpg.report.style import plot_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

WIDTH, HEIGHT = 3.0, 2.2  # inches


def draw_chart(
    name: str,
    description: str,
    draw: Callable[[Axes], None],
    height: float = HEIGHT,
    width: float = WIDTH,
) -> Markup:
    """Draw one pair of axes; the SVG element.

    Args:
        name: prefix of the ids inside the SVG, unique in the page.
        description: what the chart shows, for readers who do not see it.
        draw: draws into the axes.
        height: in inches.
        width: in inches; the page scales charts of one kind alike.
    """
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with plot_settings():
        figure = Figure(figsize=(width, height))
        draw(figure.subplots())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
    return Markup(_embed(stream.getvalue(), name, description))


def _embed(text: str, name: str, description: str) -> str:
    """The ``svg`` element alone: no address in it, ids of its own, as wide as its place."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]*)"', body)
    body = _shorten(body[body.index(">") + 1 :].replace("xlink:href", "href"))
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    box = view.group(1) if view else ""
    label = f'<title id="{name}-title">{escape(description)}</title>'
    return f'<svg viewBox="{box}" role="img" aria-labelledby="{name}-title">{label}{body.strip()}'


def _shorten(body: str) -> str:
    """The same drawing in half the text: hundredths of a unit, no name that nothing refers to."""
    named = set(re.findall(r"#([^\s\")]+)", body))
    body = re.sub(r' id="([^"]*)"', lambda m: m[0] if m[1] in named else "", body)
    return re.sub(r">\s+<", "><", re.sub(r"<[^>]*>", _shorten_tag, body))


def _shorten_tag(tag: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{3,}", _hundredths, re.sub(r"\s+", " ", tag[0]))


def _hundredths(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
