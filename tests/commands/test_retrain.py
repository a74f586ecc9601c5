from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.toy_scores import few_runs, scores_of, write_artifacts

from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import SeedRecord
from dfpg.analysis.tolerances import TRAINED
from dfpg.commands.retrain import OUT, SPREAD, compare_gains, retrain
from dfpg.core.errors import UserError
from dfpg.evaluation.per_image import write_per_image


def seeds(**deviations: float) -> str:
    """``results/seeds.csv`` with a standard deviation of the PSNR for some runs."""
    records = [
        SeedRecord(
            table="table4", row=run, run=run, test_set="mspl_center", subset="mean",
            metric="psnr", convention="psnr", value=24.0, ci_low=23.0, ci_high=25.0,
            seed_sd=deviation, gain=0.5, gain_low=0.4, gain_high=0.6, gain_over="blurred",
            n_images=60, n_people=7, n_seeds=3, seeds="0 1 2", test_images="same", profile="smoke",
        )
        for run, deviation in deviations.items()
    ]  # fmt: skip
    return csv_text(SeedRecord, records)


@pytest.fixture(scope="module")
def few(config):
    return few_runs(config, "b1", "b3", "b4")


@pytest.fixture(scope="module")
def recorded(few, tmp_path_factory):
    return write_artifacts(few, tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def project(few, recorded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(recorded, "artifacts")
    return few


def retrained(config, run: str, lift: float) -> None:
    """Scores ``lift`` dB above the recorded ones."""
    number = list(config.runs).index(run)
    scores = scores_of(config, run, ("b",), 1.0 + 0.1 * number + lift)
    write_per_image(scores, OUT / "per_image" / f"{run}.csv")


def test_the_same_gains_agree(project):
    retrained(project, "b1", 0.0)
    found = compare_gains(["b1"])
    assert found.agree
    assert "MSPL-Center" in found.text
    assert "MSPL-Random" in found.text
    assert found.text.count("+0.000") == 2
    assert found.text.endswith("every gain agrees")


@pytest.mark.parametrize(
    ("run", "limit"),
    [("b1", SPREAD * 0.1), ("b3", SPREAD * 0.2), ("b4", SPREAD * 0.2)],
    ids=["own seeds", "other own seeds", "no seeds: the largest"],
)
def test_gains_may_differ_as_much_as_seeds_do(project, run, limit):
    Path("results").mkdir()
    Path("results/seeds.csv").write_text(seeds(b1=0.1, b3=0.2))
    retrained(project, run, -0.95 * limit)
    assert compare_gains([run]).agree
    retrained(project, run, 1.05 * limit)
    found = compare_gains([run])
    assert not found.agree
    assert found.text.endswith("some gains differ more than seeds do")


def test_without_seeds_the_tolerance_of_another_machine_holds(project):
    retrained(project, "b1", 0.9 * TRAINED["psnr"])
    assert compare_gains(["b1"]).agree
    retrained(project, "b1", 1.1 * TRAINED["psnr"])
    assert not compare_gains(["b1"]).agree


def test_without_a_record_the_gains_stand_alone(project):
    retrained(project, "b1", 0.0)
    Path("artifacts/per_image/b1.csv").unlink()
    found = compare_gains(["b1"])
    assert found.agree
    assert found.text.endswith("no record of these runs to compare with")


def test_an_unknown_run_is_refused_before_anything_runs(project):
    with pytest.raises(UserError, match=r"runs\.b99: no such run"):
        retrain(project, ["b99"], 1)
    assert not Path("scratch").exists()
