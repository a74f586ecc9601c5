"""The whole graph with the smoke profile, in a temporary clone; run by `make smoke`."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pandas as pd
import pytest
from helpers.clones import NOTHING_S, dfpg, executed, run, time_nothing
from ruamel.yaml import YAML

pytestmark = pytest.mark.smoke


def change_learning_rate(folder: Path, name: str) -> None:
    yaml = YAML()
    path = folder / "params.yaml"
    params = yaml.load(path)
    params["runs"][name]["lr"] *= 2
    yaml.dump(params, path)


def test_every_table_has_every_row_with_a_value(clone):
    counted = {"table1": "ssim", "table2": "ssim", "table3": "detection_pct", "table4": "ssim"}
    for name, metric in counted.items():
        table = pd.read_csv(clone / "results" / f"{name}.csv")
        measured = table[(table["metric"] == metric) & table["value"].notna()]
        assert set(table["row"]) - set(measured["row"]) <= {"shen2020"}, name  # reported only
        known = measured.dropna(subset="ci_low")  # of few people there is no interval
        assert (known["ci_low"] <= known["ci_high"]).all()
        assert (table["profile"] == "smoke").all()


def test_metrics_are_what_dvc_shows(clone):
    shown = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    files = shown[""]["data"]
    made = {path.relative_to(clone).as_posix(): json.loads(path.read_text())
            for path in (clone / "results" / "metrics").rglob("*.json")}  # fmt: skip
    assert {name: found["data"] for name, found in files.items()} == made
    assert made["results/metrics/mspl_center/b5.json"]
    lines = run(clone, "dvc", "metrics", "show", "--md").splitlines()
    assert max(map(len, lines)) < 200


def test_second_run_executes_nothing_in_seconds(clone):
    took = time_nothing(clone)
    print(f"\nsmoke: dvc repro with nothing to do took {took:.1f} s of a core")
    assert took < NOTHING_S


def test_a_learning_rate_retrains_its_run_alone(clone):
    change_learning_rate(clone, "b1")
    try:
        planned = executed(run(clone, "dvc", "repro", "--dry"))
    finally:
        dfpg(clone, "profile", "use", "smoke")
    assert {stage for stage in planned if stage.startswith("train")} == {"train@b1"}
    assert not {stage for stage in planned if stage.startswith(("kernels", "testsets", "priors"))}


def test_experiments_can_be_queued_and_run(clone):
    """Case 8: each runs in a folder of its own, which has nothing but what git and DVC give it."""
    for value in ("0.00005", "0.0002"):
        run(clone, "dvc", "exp", "run", "--queue", "-S", f"runs.b1.lr={value}", "train@b1")
    run(clone, "dvc", "queue", "start", "-j", "1")
    states: list[str] = []
    for _ in range(300):
        table = run(clone, "dvc", "queue", "status")
        states = re.findall(r"\b(Queued|Running|Success|Failed)\b", table)
        if not {"Queued", "Running"} & set(states):
            break
        time.sleep(1)
    assert states == ["Success", "Success"]


def test_every_command_of_the_page_on_dvc_works(clone):
    page = (clone / "docs" / "dvc.md").read_text()
    blocks = re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    commands = [line.split() for block in blocks for line in block.splitlines()]
    assert {command[0] for command in commands} == {"dvc"}
    for command in commands:
        run(clone, *command)
