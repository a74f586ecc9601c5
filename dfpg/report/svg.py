"""Matplotlib figures as SVG elements that stand inside an HTML page, text selectable."""

from __future__ import annotations

import io
import re
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from markupsafe import Markup

from dfpg.report.style import BLACK, BLUE, GREY, GRID, PALE, WHITE, plot_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

WIDTH, HEIGHT = 3.0, 2.2  # inches
SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")
STYLE = re.compile(r' style="([^"]*)"')
COLOUR = re.compile("#[0-9a-f]{6}")
# Colours that the page's style sheet sets, for light paper and for dark paper.
VARIABLES = {
    BLACK.lower(): "var(--black)",
    GREY.lower(): "var(--grey)",
    PALE.lower(): "var(--pale)",
    GRID.lower(): "var(--grid)",
    BLUE.lower(): "var(--blue)",
    WHITE.lower(): "var(--paper)",
}
REFERENCE = re.compile(r'( id="|href="#|url\(#)([^")]*)')


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


def share_styles(page: str) -> str:
    """The same page in three quarters of the text, its drawings in colours of its style sheet.

    Styles that occur more than once become rules at the end of the page's head; parts that a
    drawing refers to are numbered. Titles keep their ids. Colours drawn for light paper become
    variables, which the page's style sheet sets for light and for dark paper.

    Args:
        page: HTML with elements of :func:`draw_chart` in it.
    """
    tags = [tag for svg in SVG.findall(page) for tag in TAG.findall(svg)]
    counts = Counter(style for tag in tags for style in STYLE.findall(tag))
    names = {style: f"s{number}" for number, style in enumerate(counts) if counts[style] > 1}
    parts: dict[str, str] = {}

    def shade(style: str) -> str:
        return COLOUR.sub(lambda colour: VARIABLES.get(colour[0], colour[0]), style)

    def style(found: re.Match[str]) -> str:
        return f' class="{names[found[1]]}"' if found[1] in names else shade(found[0])

    def part(found: re.Match[str]) -> str:
        if found[2].endswith("-title"):
            return found[0]
        return found[1] + parts.setdefault(found[2], f"d{len(parts)}")

    def shorten(svg: re.Match[str]) -> str:
        return TAG.sub(lambda tag: REFERENCE.sub(part, STYLE.sub(style, tag[0])), svg[0])

    rules = "\n".join(f".{name} {{ {shade(style)} }}" for style, name in names.items())
    return SVG.sub(shorten, page).replace("</head>", f"<style>\n{rules}\n</style>\n</head>", 1)
