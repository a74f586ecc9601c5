"""Tables of invented scores, which several test modules look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.toy_scores import write_artifacts

from dfpg.analysis.tables import build_tables
from dfpg.core.config import Config


@pytest.fixture(scope="session")
def artifacts(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every method is better than the one before it in ``runs``: dfpg_a, b1 ... b5 lead."""
    return write_artifacts(config, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def results(config: Config, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results")
    build_tables(config, artifacts, out)
    return out
