"""The page in a real browser: run by `make browser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.chromium import asked_for, resize, start
from helpers.csv_files import read_rows
from selenium import webdriver
from selenium.webdriver.common.by import By

from dfpg.paper.tables import TABLES

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    resize(browser, 1280)
    browser.get(page.as_uri())
    return browser


def test_the_page_loads_itself_alone_and_without_an_error(opened, page):
    assert asked_for(opened) == {page.as_uri()}
    assert opened.get_log("browser") == []


def test_every_row_of_every_table_is_seen(opened, made):
    heads = opened.find_elements(By.CSS_SELECTOR, ".results tbody th")
    shown = [head.text for head in heads if head.size["height"] > 10]
    for table in TABLES:
        for key in {record["row"] for record in read_rows(made / "results" / f"{table.name}.csv")}:
            assert any(text.replace("\n", "").startswith(key) for text in shown), key


def test_verdicts_are_words_on_a_colour(opened):
    chips = opened.find_elements(By.CSS_SELECTOR, ".results .verdict")
    assert chips
    assert all(chip.text.startswith("not comparable") for chip in chips)
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


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_itself_never_scrolls_sideways(opened, width):
    resize(opened, width)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


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
