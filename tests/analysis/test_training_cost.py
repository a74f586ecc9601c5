from __future__ import annotations

import pytest
from helpers.csv_files import pick_row, read_rows

from dfpg.analysis.tables import build_tables
from dfpg.analysis.training_cost import training_records
from dfpg.core.errors import UserError
from dfpg.core.schedule import training_steps


def test_training_table_says_what_each_run_was_given(config, results):
    row = pick_row(results / "training.csv", run="b1")
    assert row["steps"] == str(training_steps(config, "b1"))
    assert int(row["images"]) == config.runs["b1"].images
    assert (row["validation_gain"], row["validation_unblurred_psnr"]) == ("0.75", "")
    assert row["seconds"] == "12.3"
    assert pick_row(results / "training.csv", run="b2")["seconds"] == ""
    assert pick_row(results / "training.csv", run="b2")["validation_gain"] == ""


def test_a_run_of_published_weights_says_so_and_was_given_no_steps(config, artifacts, tmp_path):
    taken = config.runs["b1"].model_copy(update={"weights": "weights/net.pth"})
    runs = config.runs | {"b1": taken}
    build_tables(config.model_copy(update={"runs": runs}), artifacts, tmp_path)
    row = pick_row(tmp_path / "training.csv", run="b1")
    assert (row["steps"], row["images"]) == ("0", "0")
    for name, fidelity in (("b1", "official weights"), ("b2", "reimplementation")):
        row = pick_row(tmp_path / "table4.csv", row=name, metric="psnr")
        assert row["fidelity"] == fidelity


def test_train_images_are_those_of_the_run(config, results):
    images = config.runs["dfpg_a"].images
    for name in ("table1", "table3"):
        rows = read_rows(results / f"{name}.csv")
        assert {row["train_images"] for row in rows if row["row"] == "dfpg_a"} == {str(images)}
        others = {row["train_images"] for row in rows if row["row"] in ("sharp", "shen2020")}
        assert others == {""}


@pytest.mark.parametrize(
    ("folder", "name", "text"),
    [
        ("cost", "b1.json", "{}"),
        ("cost", "b1.json", "[1]"),
        ("history", "b1.csv", "step,validation_gain\n2,high\n"),
    ],
)
def test_a_damaged_record_of_a_training_is_named(config, tmp_path, folder, name, text):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}: .*; run train again"):
        training_records(config, tmp_path)
