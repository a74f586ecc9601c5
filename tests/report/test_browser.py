"""The page in a real browser: run by `make browser`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.chromium import asked_for, open_page, resize, start
from helpers.csv_files import read_rows
from helpers.toy_report import make_report, page_of
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from dfpg.core.config import Config
from dfpg.paper.tables import TABLES

pytestmark = pytest.mark.browser

UNFOLD = """
const parts = [...document.querySelectorAll("details")];
parts.forEach(part => part.open = true);
return parts.every(part => part.offsetHeight > part.querySelector("summary").offsetHeight + 10);
"""
PHONE = 390, 844  # px
# Colours by what has them: of the page, its texts, and what the charts draw in black.
SHADES = """
const colour = (query, name) => getComputedStyle(document.querySelector(query))[name];
return {
  paper: colour("body", "backgroundColor"), "text of the page": colour("p", "color"),
  "soft text": colour(".notes", "color"), "text of links": colour("nav a", "color"),
  "text of charts": colour(".charts svg text", "fill"),
  "black shapes": colour(".charts svg", "fill"),
};
"""
# Every colour that a line, shape or text of a chart has.
DRAWN = """
const styles = [...document.querySelectorAll(".charts svg :is(path, use, text)")]
  .filter(part => !part.closest("clipPath, defs")).map(part => getComputedStyle(part));
return [...new Set(styles.flatMap(style => [style.stroke, style.fill]))];
"""
# Texts of charts that reach more than 2 px beyond their drawing.
CUT_OFF = """
return [...document.querySelectorAll(".charts svg text")].filter(text => {
  const [inner, outer] = [text, text.closest("svg")].map(part => part.getBoundingClientRect());
  return inner.left < outer.left - 2 || inner.right > outer.right + 2
    || inner.top < outer.top - 2 || inner.bottom > outer.bottom + 2;
}).map(text => text.textContent);
"""
VERDICTS = "not comparable", "no value here"  # of scores that a quick profile's runs would have
DARK_ON_LIGHT = "rgb(0, 0, 0)", "rgb(102, 102, 102)"


def brightness(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2), of a CSS colour ``rgb(r, g, b)``."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.fixture(scope="module")
def made(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of all runs: what a screen holds depends on how many there are."""
    return make_report(config, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(made: Path) -> Path:
    return page_of(made)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    resize(browser, 1280)
    open_page(browser, page)
    WebDriverWait(browser, 20).until(lambda seen: seen.execute_script(UNFOLD))
    return browser


def texts(browser: webdriver.Chrome, query: str) -> list[str]:
    """What the elements that are seen say, in one call and not one for each."""
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter(part => part.offsetHeight > 10 && part.checkVisibility())"
        ".map(part => part.innerText)",
        query,
    )


def test_the_page_loads_itself_alone_and_without_an_error(opened, page):
    assert asked_for(opened) == {page.as_uri()}
    assert opened.get_log("browser") == []


def test_every_row_of_every_table_is_seen(opened, made):
    shown = texts(opened, ".results tbody th")
    rows = {
        record["row"]
        for table in TABLES
        for record in read_rows(made / "results" / f"{table.name}.csv")
    }
    starts = [text.replace("\n", "") for text in shown]
    assert {row for row in rows if not any(start.startswith(row) for start in starts)} == set()


def test_verdicts_are_words_on_a_colour(opened):
    chips = texts(opened, ".results .verdict")
    assert chips
    assert {chip for chip in chips if not chip.startswith(VERDICTS)} == set()
    colours = {
        name: opened.find_element(By.CSS_SELECTOR, f".v-{name}").value_of_css_property(
            "background-color"
        )
        for name in ("matches", "within-interval", "deviates", "not-comparable")
    }
    assert len(set(colours.values())) == len(colours)


def test_pictures_and_charts_are_drawn(opened):
    broken = opened.execute_script(
        "return [...document.images].filter(image => image.naturalWidth == 0).length"
    )
    assert broken == 0
    sizes = [chart.size for chart in opened.find_elements(By.CSS_SELECTOR, ".charts svg")]
    assert len(sizes) > 40
    assert all(size["width"] > 150 and size["height"] > 100 for size in sizes)


def test_no_text_of_a_chart_is_cut_off(opened):
    assert opened.execute_script(CUT_OFF) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_itself_never_scrolls_sideways(opened, width):
    resize(opened, width)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


def test_folded_it_is_twelve_screens_of_a_phone_and_starts_with_the_answer(browser, page):
    resize(browser, PHONE[0])
    open_page(browser, page)
    assert browser.execute_script("return document.documentElement.scrollHeight") <= 12 * PHONE[1]
    lead = browser.find_element(By.CLASS_NAME, "lead")
    assert lead.text.startswith("Of 16 claims of the paper, ")
    assert lead.location["y"] + lead.size["height"] < PHONE[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_from_the_page_in_both_schemes(opened, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    try:
        found = opened.execute_script(SHADES)
        drawn = opened.execute_script(DRAWN)
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    paper = brightness(found.pop("paper"))
    assert (paper < 0.1) == (scheme == "dark")
    for what, colour in found.items():
        contrast = (max(paper, brightness(colour)) + 0.05) / (min(paper, brightness(colour)) + 0.05)
        assert contrast >= (4.5 if "text" in what else 3), (what, colour)
    for colour in DARK_ON_LIGHT:
        assert (colour in drawn) == (scheme == "light"), colour


def test_print_shows_what_is_folded(browser, page):
    open_page(browser, page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        heights = browser.execute_script(
            "return [...document.querySelectorAll('details')].map(d => d.offsetHeight)"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})
    assert min(heights) > 30


def test_paper_shows_every_table_whole(opened):
    sheet = round((297 - 2 * 12) / 25.4 * 96)  # px: A4 on its side, less the margins
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        resize(opened, sheet)
        wide = opened.execute_script(
            "return [...document.querySelectorAll('table, .charts, .tiles')]"
            f".filter(part => part.getBoundingClientRect().right > {sheet}).length"
        )
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen"})
    assert wide == 0
