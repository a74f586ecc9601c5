from __future__ import annotations

import shutil

import pytest
from helpers.csv_files import pick_row, read_rows
from helpers.toy_scores import few_runs

from dfpg.analysis.tables import build_tables
from dfpg.analysis.training_cost import training_lengths, training_records, training_remarks
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
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
    runs = {"b1": taken, "b2": config.runs["b2"]}
    copied = tmp_path / "artifacts"
    shutil.copytree(artifacts, copied)
    (copied / "history" / "b1.csv").write_text("step,validation_gain\n0,0.75\n")
    build_tables(config.model_copy(update={"runs": runs}), copied, tmp_path)
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


def test_a_training_is_whole_where_it_is_as_long_as_its_papers():
    whole = training_lengths(resolve_profile("paper")[0])
    assert {length.whole for length in whole.values()} == {True}
    assert whole["xia2019"].images > whole["yasarla2020"].images
    short, _ = resolve_profile("embedded")
    own = short.runs["b1"].model_copy(update={"images": 10**8})
    published = short.runs["b2"].model_copy(update={"weights": "weights/net.pth"})
    runs = short.runs | {"mine": own, "b2": published}
    lengths = training_lengths(short.model_copy(update={"runs": runs}))
    assert {length.whole for length in lengths.values()} == {False}
    assert set(lengths) == set(runs) - {"b2"}
    assert lengths["b1"].images == short.runs["b1"].images


HISTORY = """step,validation_gain,share.prior.encoder,share.pixel.encoder,exploded_at
2,0.5,0.00001,0.99999,
4,0.7,{prior},0.6,{exploded}
"""


def test_a_remark_is_made_on_the_end_of_a_training_that_went_wrong(config, tmp_path):
    (tmp_path / "history").mkdir()
    for run, prior, exploded in (("b1", 0.4, ""), ("b2", 0.0005, ""), ("b3", 0.4, "7")):
        text = HISTORY.format(prior=prior, exploded=exploded)
        (tmp_path / "history" / f"{run}.csv").write_text(text)
    assert training_remarks(config, tmp_path) == {
        "b2": "in training: loss prior has 0.05 % of the gradient on the encoder: "
        "it does next to nothing",
        "b3": "in training: exploded at step 7, then half the rate",
    }


def test_remarks_are_part_of_the_note_of_every_cell(config, artifacts, tmp_path):
    copied = tmp_path / "artifacts"
    shutil.copytree(artifacts, copied)
    (copied / "history" / "dfpg_b.csv").write_text(HISTORY.format(prior=0.0005, exploded=""))
    build_tables(few_runs(config, "dfpg_b", "b1"), copied, tmp_path)
    for table, row in (("table2", "dfpg_b"), ("table4", "b6")):
        found = [r["note"] for r in read_rows(tmp_path / f"{table}.csv") if r["row"] == row]
        assert len(found) > 2
        assert all(note.endswith("it does next to nothing") for note in found)
    others = [r["note"] for r in read_rows(tmp_path / "table4.csv") if r["row"] != "b6"]
    assert not any("in training" in note for note in others)


@pytest.mark.parametrize(
    ("folder", "name", "text"),
    [
        ("cost", "b1.json", "{}"),
        ("cost", "b1.json", "[1]"),
    ],
)
def test_a_damaged_cost_is_named(config, tmp_path, folder, name, text):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / name).write_text(text)
    with pytest.raises(UserError, match=rf"{name}: .*; run train again"):
        training_records(config, tmp_path)
