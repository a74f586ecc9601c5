"""`dvc plots show` makes a page of the charts that there are, which loads nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

from helpers.places import ROOT
from markupsafe import Markup

from dfpg.report.plot_files import write_plots
from dfpg.report.svg import draw_chart


def dvc(folder: Path, *arguments: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
    )
    assert result.returncode == 0, result.stderr


class Loaded(HTMLParser):
    """What a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        self.found += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_shows_every_chart_and_loads_nothing_else(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    charts: list[Markup] = [
        draw_chart(name, name, lambda axes: axes.plot([0, 1])) for name in ("one", "two")
    ]
    write_plots(tmp_path / "artifacts" / "plots", charts)
    dvc(tmp_path, "init", "--no-scm", "-q")
    dvc(tmp_path, "plots", "show", "--out", "page")
    loaded = Loaded((tmp_path / "page" / "index.html").read_text()).found
    assert sorted(path.split("_")[-1] for path in loaded) == ["one.svg", "two.svg"]
    assert all((tmp_path / "page" / path).is_file() for path in loaded)
