"""A report of invented scores of some of the runs, which several test modules look at."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.hostile_report import make_hostile_report
from helpers.toy_report import make_report, page_of
from helpers.toy_scores import few_runs

from dfpg.core.config import Config

# The charts of each run take half a second. These have every table, protocol and kind of row.
RUNS = (
    *("dfpg_a", "shen2018", "lee2020_a", "xia2019", "wang2021"),
    *("dfpg_b", "b1", "b2", "b4", "nafnet"),
)


@pytest.fixture(scope="session")
def made(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `artifacts` and `results` after the stages tables, pictures and report."""
    return make_report(few_runs(config, *RUNS), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def few(config: Config) -> Config:
    return few_runs(config, "dfpg_a", "b1")


@pytest.fixture(scope="session")
def hostile(few: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs and a submission, without pictures, whose names are code."""
    return make_hostile_report(few, tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def page(made: Path) -> Path:
    return page_of(made)
