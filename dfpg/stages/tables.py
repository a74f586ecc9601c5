"""Stage ``tables``: the tables of ``results/``."""

from __future__ import annotations

from pathlib import Path

from dfpg.analysis.tables import build_project_tables
from dfpg.core.config import load_config
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.report.recognition_plots import draw_recognition


def tables(out: Path = RESULTS) -> None:
    """Stage ``tables``: the tables of ``results/``.

    Args:
        out: folder to write, another one for a try.
    """
    config = load_config()
    build_project_tables(config, out)
    draw_recognition(config, out, ARTIFACTS / "figures")
