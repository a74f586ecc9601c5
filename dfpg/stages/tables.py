"""Stage ``tables``: everything in ``results/`` but the environment."""

from __future__ import annotations

from pathlib import Path

from dfpg.analysis.seed_records import SEEDS
from dfpg.analysis.submissions import FOLDER
from dfpg.analysis.tables import build_tables
from dfpg.core.config import load_config
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.report.recognition_plots import draw_recognition

READINGS = RESULTS / "readings.csv"


def tables(out: Path = RESULTS) -> None:
    """Stage ``tables``: everything in ``results/`` but the environment.

    Args:
        out: folder to write, another one for a try.
    """
    config = load_config()
    build_tables(config, ARTIFACTS, out, FOLDER, SEEDS, READINGS)
    draw_recognition(config, out, ARTIFACTS / "figures")
