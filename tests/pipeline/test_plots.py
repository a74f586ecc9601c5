"""`dvc plots show` draws the runs that params.yaml has, and no list of runs is kept for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.places import ROOT

from dfpg.core.config import load_config

OWN = "{method: nafnet, protocol: b, images: 16, lr: 1.0e-3, lr_discriminator: 1.0e-4, options: {}}"
GONE = "wang2021"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """dvc.yaml beside a params.yaml with one run more and one less, and histories of its runs."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    lines = (ROOT / "params.yaml").read_text().splitlines(keepends=True)
    lines = [line for line in lines if not line.startswith(f"  {GONE}: {{method")]
    lines.insert(lines.index("runs:\n") + 1, f"  own: {OWN}\n")
    (tmp_path / "params.yaml").write_text("".join(lines))
    shutil.copytree(ROOT / "results", tmp_path / "results")
    history = tmp_path / "artifacts" / "history"
    history.mkdir(parents=True)
    for run in load_config(tmp_path / "params.yaml").runs:
        (history / f"{run}.csv").write_text("step,lr,validation_gain\n2,0.1,0.5\n4,0.1,0.75\n")
    return tmp_path


def dvc(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DVC_NO_ANALYTICS": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_run_of_params_has_its_training_curve(project):
    dvc(project, "init", "--no-scm", "-q")
    plots = json.loads(dvc(project, "plots", "show", "--json"))
    assert plots.get("errors", []) == []
    config = load_config(project / "params.yaml")
    assert "own" in config.runs
    assert GONE not in config.runs
    drawn = {name for name in plots["data"] if name.startswith("artifacts/history/")}
    assert drawn == {f"artifacts/history/{run}.csv" for run in config.runs}
    (curve,) = plots["data"]["artifacts/history/own.csv"]
    values = curve["content"]["data"]["values"]
    assert [row["validation_gain"] for row in values] == ["0.5", "0.75"]
