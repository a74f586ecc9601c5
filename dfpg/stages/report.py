"""Stage ``report``: one HTML page of everything, and the tables as Markdown and LaTeX."""

from __future__ import annotations

from dfpg.core.config import load_config
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.report.build import build_report


def report() -> None:
    """Stage ``report``: one HTML file, and the tables for papers and READMEs."""
    build_report(load_config(), ARTIFACTS, RESULTS)
