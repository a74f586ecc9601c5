"""A headless Chromium for the tests that look at pages; see `make browser`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OWN = ("data:", "about:", "chrome:", "chrome-untrusted:")  # pages of the browser itself


def program(name: str, package: str) -> str:
    """Path of a program; without it the test fails, it is not skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is missing: install it, on Debian `apt-get install {package}`")
    return found


def start(profile: Path) -> webdriver.Chrome:
    """A browser that logs what it asks for and what goes wrong; ``profile`` is an empty folder."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(
        options=options, service=Service(program("chromedriver", "chromium-driver"))
    )


def open_page(browser: webdriver.Chrome, page: Path) -> None:
    """Open a file, read to its end: of a long one a part may be there when `get` returns."""
    browser.get("about:blank")
    browser.get(page.as_uri())
    read = "return [document.readyState, location.href]"
    wanted = ["complete", page.as_uri()]
    WebDriverWait(browser, 30).until(lambda view: view.execute_script(read) == wanted)


def resize(browser: webdriver.Chrome, width: int) -> None:
    """A view of exactly this width, which a window cannot always have."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def asked_for(browser: webdriver.Chrome) -> set[str]:
    """What was asked for since the last call: addresses outside the browser itself."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }
    return {url for url in urls if not url.startswith(OWN)}
