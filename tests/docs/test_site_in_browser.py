"""The documentation site in a real browser, opened from the disk: run by `make browser`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.chromium import asked_for, open_page, resize, start
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.browser

WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


def test_no_page_scrolls_sideways_asks_the_network_or_fails(browser, site):
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    assert len(pages) >= 14
    for page in pages:
        for width in WIDTHS:
            resize(browser, width)
            open_page(browser, page)
            inside = browser.execute_script("return document.documentElement.scrollWidth")
            assert inside <= width, (page.name, width)
            assert browser.get_log("browser") == [], page.name
            outside = {url for url in asked_for(browser) if not url.startswith("file:")}
            assert outside == set(), page.name


def test_the_search_works_from_the_disk(browser, site: Path):
    resize(browser, 1280)
    open_page(browser, site / "index.html")
    field = browser.find_element(By.CSS_SELECTOR, "input.md-search__input")
    WebDriverWait(browser, 30).until(lambda _: field.is_displayed())
    field.send_keys("studentised bootstrap")
    results = WebDriverWait(browser, 30).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, ".md-search-result__item")
    )
    assert any("Conventions" in result.text for result in results)
