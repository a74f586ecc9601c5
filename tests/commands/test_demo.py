"""The page of `dfpg demo`, in a real browser where Gradio is installed (marker browser)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers.chromium import asked_for, start
from PIL import Image
from selenium.webdriver.common.by import By

from dfpg.commands import demo as module
from dfpg.commands.deblur.command import Options
from dfpg.core.errors import UserError


def refuse(*_args):
    raise UserError("/home/someone/x.png: damaged")


def test_a_refused_photograph_is_a_line_without_the_servers_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "read_photograph", refuse)
    path = Path("/home/someone/x.png")
    assert module.restore(path, Options(), tmp_path) == (None, None, "damaged", None)


def test_without_gradio_one_line_says_what_to_install(monkeypatch):
    from dfpg.core.errors import error_line

    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ModuleNotFoundError) as error:
        module.demo(7860, Options(), opened=False)
    line = error_line(error.value)
    assert line is not None
    assert "pip install -e '.[demo]'" in line


def free_port() -> int:
    with socket.socket() as found:
        found.bind((module.HOST, 0))
        return int(found.getsockname()[1])


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    if find_spec("gradio") is None:
        pytest.skip("gradio is not installed: pip install -e '.[demo]' (see docs/deblur.md)")
    port = free_port()
    command = [sys.executable, "-m", "dfpg", "demo", "--no-browser", "--device", "cpu"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=log, stderr=log, env=os.environ
        )
    address = f"http://{module.HOST}:{port}/"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.mark.browser
def test_a_dropped_photograph_is_shown_before_and_after_and_can_be_downloaded(served, tmp_path):
    face = Image.open(Path(__file__).parents[2] / "data" / "faces" / "p00015_0.jpg").convert("RGB")
    blurred = face.resize((24, 24)).resize((320, 320))
    canvas = Image.new("RGB", (480, 400), (90, 110, 130))
    canvas.paste(blurred, (80, 40))
    canvas.save(tmp_path / "photo.png")
    browser = start(tmp_path / "chromium")
    try:
        browser.get(served)
        wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#given input[type=file]"))
        field = browser.find_element(By.CSS_SELECTOR, "#given input[type=file]")
        field.send_keys(str(tmp_path / "photo.png"))
        wait(
            lambda: browser.find_element(By.CSS_SELECTOR, "#report textarea").get_property("value")
        )
        text = browser.find_element(By.CSS_SELECTOR, "#report textarea").get_property("value")
        assert "1 of 1 photographs restored, 1 face found (dfpgnet at 128 px, cpu)" in text
        pictures = {}
        for name in ("before", "after"):
            wait(lambda name=name: browser.find_elements(By.CSS_SELECTOR, f"#{name} img"))
            shown = browser.find_element(By.CSS_SELECTOR, f"#{name} img").get_attribute("src")
            with urllib.request.urlopen(shown) as answer:
                pictures[name] = np.asarray(Image.open(answer).convert("RGB")).astype(int)
        assert pictures["before"].shape == (400, 480, 3)
        assert np.abs(pictures["before"] - pictures["after"]).max() > 10
        box = np.abs(pictures["before"] - module.BOX).max(-1) < 80  # the page shows lossy WebP
        assert box.any()
        link = browser.find_element(By.CSS_SELECTOR, "#result a").get_attribute("href")
        with urllib.request.urlopen(link) as answer:
            restored = np.asarray(Image.open(answer).convert("RGB"))
        assert restored.shape == (400, 480, 3)
        assert (restored[:20] == np.asarray(canvas)[:20]).all()
        assert all(url.startswith((served, "blob:")) for url in asked_for(browser))
    finally:
        browser.quit()


def wait(found, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "the page does not answer"
        time.sleep(0.3)
