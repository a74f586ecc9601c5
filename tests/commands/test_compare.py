from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from helpers.csv_files import read_rows
from helpers.toy_scores import few_runs, write_artifacts

from dfpg.analysis.tables import build_tables
from dfpg.analysis.tolerances import TRAINED, UNTRAINED
from dfpg.commands.compare import compare
from dfpg.core.config import Config
from dfpg.core.errors import UserError


@pytest.fixture(scope="module")
def built(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    few = few_runs(config, "dfpg_a", "b1")
    build_tables(few, write_artifacts(few, folder / "artifacts"), folder / "results")
    return folder / "results"


@pytest.fixture
def results(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "results"))


@pytest.fixture
def other(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "other"))


def change(folder: Path, row: str, metric: str, update) -> None:
    """Apply ``update`` to one record of Table 1, the Helen column."""
    path = folder / "table1.csv"
    records = list(csv.DictReader(path.read_text().splitlines()))
    for record in records:
        if (record["row"], record["subset"], record["metric"]) == (row, "helen", metric):
            record.update(update(record))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def shift(by: float, relative: bool = False):
    def update(record):
        value = float(record["value"])
        return {"value": f"{value + by * (value if relative else 1):.5f}"}

    return update


def test_equal_folders_agree_and_every_value_is_compared(results, other):
    outcome = compare(results, other)
    assert outcome.agree
    values = [row["value"] for path in results.glob("table*.csv") for row in read_rows(path)]
    assert outcome.values == sum(map(bool, values)) > 100
    assert str(outcome).endswith("agree")


@pytest.mark.parametrize("metric", ["psnr", "ssim", "lpips"])
def test_trained_rows_may_differ_by_the_tolerance_and_no_more(results, other, metric):
    change(other, "dfpg_a", metric, shift(0.9 * TRAINED[metric]))
    assert compare(results, other).agree
    change(other, "dfpg_a", metric, shift(0.2 * TRAINED[metric]))
    outcome = compare(results, other)
    assert [line.where for line in outcome.differences] == [f"table1 dfpg_a shen/helen {metric}"]


@pytest.mark.parametrize("metric", ["psnr", "ssim", "lpips"])
def test_untrained_rows_must_agree_tightly(results, other, metric):
    assert UNTRAINED[metric] < TRAINED[metric] / 5
    change(other, "blurred", metric, shift(-2 * UNTRAINED[metric]))
    outcome = compare(results, other)
    assert len(outcome.differences) == 1
    assert "table1 blurred shen/helen" in str(outcome)


def test_d_vgg_is_relative_and_by_a_surrogate_as_loose_as_a_trained_row(results, other):
    change(other, "blurred", "d_vgg", shift(0.015, relative=True))
    assert compare(results, other).agree
    change(other, "blurred", "d_vgg", shift(0.015, relative=True))
    assert len(compare(results, other).differences) == 1
    for folder in (results, other):
        change(folder, "blurred", "d_vgg", lambda _: {"prior": "VGGFace"})
    change(other, "blurred", "d_vgg", shift(-0.015, relative=True))
    assert len(compare(results, other).differences) == 1


def test_a_value_that_only_one_folder_has_differs(results, other):
    change(other, "dfpg_a", "psnr", lambda _: {"value": ""})
    outcome = compare(results, other)
    assert not outcome.agree
    assert "against no value" in str(outcome)


def test_how_long_a_training_took_is_no_difference(results, other):
    path = other / "training.csv"
    text = path.read_text()
    assert ",12.3," in text
    path.write_text(text.replace(",12.3,", ",99.9,"))
    assert compare(results, other).agree


def test_other_machine_is_noted_but_no_difference(results, other):
    for folder, precision in ((results, "fp32"), (other, "bf16")):
        (folder / "environment.json").write_text(json.dumps({"seed": 0, "precision": precision}))
    outcome = compare(results, other)
    assert outcome.agree
    assert outcome.settings == ("precision: fp32 against bf16",)


def test_folders_that_cannot_be_compared_are_refused(results, other, tmp_path):
    change(other, "sharp", "psnr", lambda _: {"profile": "paper"})
    with pytest.raises(UserError, match=r"table1\.csv: profile smoke in .*paper"):
        compare(results, other)
    (other / "table1.csv").unlink()
    with pytest.raises(UserError, match=r"table1\.csv: cannot be read"):
        compare(results, other)
    (other / "table1.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"table1\.csv: no column 'row'"):
        compare(other, results)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no table"):
        compare(tmp_path / "empty", tmp_path / "empty")


def test_a_metric_without_tolerance_is_refused(results, other):
    with pytest.raises(UserError, match="no tolerance for metric 'lpips'"):
        compare(results, other, trained={"psnr": 1.0, "ssim": 1.0, "d_vgg": 1.0})
