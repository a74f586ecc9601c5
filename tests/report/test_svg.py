from __future__ import annotations

import re
from importlib.resources import files
from xml.etree import ElementTree

from dfpg.report.style import BLACK, BLUE, ORANGE
from dfpg.report.svg import VARIABLES, draw_chart, share_styles


def draw(axes):
    axes.plot([0, 1, 2], [0.123456, 0.2, 0.654321], marker="o", label="a  b")
    axes.set_title("0.123456 stays")
    axes.legend()


def draw_in(axes, *colours):
    for colour in colours:
        axes.plot([0, 1], [0, 1], color=colour, label=colour[1:])
    axes.legend()


def test_a_chart_is_one_element_with_ids_of_its_own():
    chart = str(draw_chart("one", "what it shows", draw))
    root = ElementTree.fromstring(chart)
    assert root.tag == "svg"
    assert root[0].text == "what it shows"
    assert all(element.get("id", "one-").startswith("one-") for element in root.iter())


def test_what_the_drawing_refers_to_is_in_it():
    chart = str(draw_chart("one", "what it shows", draw))
    ids = re.findall(r' id="([^"]*)"', chart)
    named = set(re.findall(r'href="#([^"]*)"', chart)) | set(re.findall(r"url\(#([^)]*)\)", chart))
    assert len(ids) == len(set(ids))
    assert named | {"one-title"} == set(ids)


def test_places_are_rounded_and_words_are_not():
    chart = str(draw_chart("one", "shows 0.123456", draw))
    assert not re.search(r'(?:d|x|y|transform)="[^"]*\d\.\d{3}', chart)
    assert chart.count("0.123456") == 2


def styles(page: str) -> list[tuple[str, str]]:
    """Tag and style of every element in the page's drawings, a class's rule as the style."""
    rules = dict(re.findall(r"^\.(s\d+) { (.*) }$", page, re.MULTILINE))
    found = []
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        for element in ElementTree.fromstring(svg).iter():
            style = element.get("style", "")
            found.append((element.tag, rules.get(element.get("class", ""), style)))
    return found


def page_of(*charts: str) -> str:
    return "<head>\n</head>\n<p style='color: red'>" + "\n".join(charts)


def test_a_page_with_shared_styles_looks_the_same_and_is_shorter():
    page = page_of(*(draw_chart(name, "a", draw) for name in ("one", "two", "three")))
    short = share_styles(page)
    named = {variable: colour for colour, variable in VARIABLES.items()}
    assert [
        (tag, re.sub(r"var\(--\w+\)", lambda name: named[name[0]], style))
        for tag, style in styles(short)
    ] == styles(page)
    assert len(short) < 0.75 * len(page)
    assert "<p style='color: red'>" in short


def test_drawings_take_colours_that_the_style_sheet_sets_for_light_and_for_dark_paper():
    sheet = (files("dfpg.report") / "templates" / "report.css").read_text()
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)
    chart = draw_chart("one", "what it shows", lambda axes: draw_in(axes, BLACK, BLUE, ORANGE))
    page = share_styles(page_of(chart))
    named = set(re.findall(r"var\((--\w+)\)", page))
    assert named == {"--black", "--blue", "--grey", "--grid", "--paper"}
    assert all(f"{name}:" in light and f"{name}:" in dark for name in named)
    assert ORANGE.lower() in page
    assert not any(colour.lower() in page for colour in (BLACK, BLUE))


def test_what_the_drawings_of_a_page_refer_to_stays_apart_and_in_the_same_drawing():
    short = share_styles(page_of(draw_chart("one", "a", draw), draw_chart("two", "a", draw)))
    ids = re.findall(r' id="([^"]*)"', short)
    assert len(ids) == len(set(ids))
    assert {"one-title", "two-title"} < set(ids)
    for svg in re.findall(r"<svg.*?</svg>", short, re.DOTALL):
        named = set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg))
        assert named == {name for name in re.findall(r' id="([^"]*)"', svg) if name[0] == "d"}


def test_words_in_a_drawing_make_no_rules():
    words = 'x style="} body { display: none" id="y"'
    page = page_of(*(f"<svg><text>{words}</text></svg>" for _ in range(2)))
    assert share_styles(page).count(words) == 2
    assert "<style>\n\n</style>" in share_styles(page)
