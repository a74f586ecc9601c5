from __future__ import annotations

import json
import math
import shutil
import statistics
from pathlib import Path

import pytest
from helpers.csv_files import read_rows
from helpers.toy_scores import few_runs

from dfpg.analysis.tables import build_tables

METRICS = ("psnr", "ssim", "lpips", "detection_pct", "verification_strict_acc_pct")


def values(results: Path) -> dict[str, dict[str, float]]:
    folder = results / "metrics"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text())
        for path in folder.rglob("*.json")
    }


@pytest.mark.parametrize(
    ("name", "table", "row"),
    [
        ("shen/dfpg_a", "table1", "dfpg_a"),
        ("shen/lee2020_a", "table3", "lee2020"),
        ("mspl_center/dfpg_b", "table2", "dfpg_b"),
        ("mspl_random/blurred", "table2", "blurred"),
    ],
)
def test_a_file_holds_the_mean_over_the_subsets(results, name, table, row):
    own = [
        r
        for r in read_rows(results / f"{table}.csv")
        if (r["row"], r["test_set"]) == (row, name.split("/")[0]) and r["metric"] in METRICS
    ]
    found = values(results)[name]
    for metric in {r["metric"] for r in own}:
        wanted = statistics.fmean(float(r["value"]) for r in own if r["metric"] == metric)
        assert math.isclose(found[metric], wanted, abs_tol=1e-5)


def test_every_run_that_was_scored_has_its_file(results, config):
    named = {name.split("/")[-1] for name in values(results)}
    assert {*config.runs, "blurred", "sharp", "richardson_lucy", "wiener"} <= named


def test_the_ablation_has_the_mean_of_table_4(results):
    row = next(
        r for r in read_rows(results / "table4.csv") if (r["row"], r["metric"]) == ("b6", "psnr")
    )
    assert values(results)["mspl_center/dfpg_b"]["psnr"] == pytest.approx(float(row["value"]))


def test_there_are_at_most_200_values(results):
    found = values(results)
    assert 100 < sum(map(len, found.values())) <= 200
    assert "psnr" not in found["shen/sharp"]  # infinite


def test_verdicts_are_counted_once_each(results):
    claims = [r["verdict"] for r in read_rows(results / "claims.csv")]
    found = values(results)["claims"]
    assert sum(found.values()) == len(claims)
    assert found["supported"] == claims.count("supported") + claims.count("consistent with it")


def test_a_run_that_is_no_more_loses_its_file(results, artifacts, config, tmp_path):
    out = Path(shutil.copytree(results, tmp_path / "results"))
    left = ("dfpg_a", "dfpg_b", "b1")
    build_tables(few_runs(config, *left), artifacts, out)
    kept = set(values(out))
    assert kept < set(values(results))
    assert set(values(results)) - kept == {
        name for name in values(results) if name.split("/")[-1] in {*config.runs} - {*left}
    }
