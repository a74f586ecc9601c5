from __future__ import annotations

import re
from xml.etree import ElementTree

from dfpg.report.svg import draw_chart


def draw(axes):
    axes.plot([0, 1, 2], [0.123456, 0.2, 0.654321], marker="o", label="a  b")
    axes.set_title("0.123456 stays")
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
