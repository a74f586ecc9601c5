"""A report of invented scores, with pictures of noise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers.places import ROOT
from helpers.toy_scores import HOSTILE, few_runs, write_artifacts
from PIL import Image

from dfpg.analysis.tables import build_tables
from dfpg.core.config import Config
from dfpg.report.build import build_report
from dfpg.report.pictures import write_costs, write_pictures
from dfpg.report.sheet import Example, SheetColumn

SIDE = 16
COSTLY = ("nafnet", "xia2019")  # runs whose costs are counted: of each protocol one


def make_report(config: Config, folder: Path) -> Path:
    """``artifacts`` and ``results`` as the stages tables, pictures and report leave them."""
    artifacts, results = folder / "artifacts", folder / "results"
    artifacts.mkdir()
    write_artifacts(config, artifacts)
    build_tables(config, artifacts, results)
    environment = {"commit": "c0ffee", "device": "cpu", "python": "3.11", "packages": {}}
    (results / "environment.json").write_text(json.dumps(environment))
    claims = (results / "claims.csv").read_text()
    assert "generic one" in claims
    (results / "claims.csv").write_text(claims.replace("generic one", HOSTILE))
    noise = np.random.default_rng(0)
    shown = [
        SheetColumn(name, noise.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))
        for name in ("blurred", "dfpg_a", "sharp")
    ]
    for protocol in config.protocols:
        chosen = [Example(5, "center\nworst")]
        write_pictures(artifacts / "pictures" / f"{protocol}.png", chosen, shown)
    write_costs(few_runs(config, *COSTLY), artifacts / "pictures" / "costs.csv")
    (artifacts / "robustness").mkdir()
    Image.fromarray(noise.integers(0, 256, (60, 80, 3), np.uint8)).save(
        artifacts / "robustness" / "robustness.png"
    )
    build_report(config, artifacts, results, ROOT)
    return folder


def page_of(made: Path) -> Path:
    return made / "artifacts" / "report" / "report.html"
