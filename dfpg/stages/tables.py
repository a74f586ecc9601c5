"""Stage ``tables``: everything in ``results/`` but the environment."""

from __future__ import annotations

from dfpg.analysis.submissions import FOLDER
from dfpg.analysis.tables import build_tables
from dfpg.core.config import load_config
from dfpg.core.paths import ARTIFACTS, RESULTS


def tables() -> None:
    """Stage ``tables``: everything in ``results/`` but the environment."""
    build_tables(load_config(), ARTIFACTS, RESULTS, FOLDER)
