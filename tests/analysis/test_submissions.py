"""Submissions in the tables, with invented scores; scoring itself: test_submit.py."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from helpers.toy_scores import few_runs, write_artifacts, write_submission

from dfpg.analysis.tables import build_tables
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.evaluation.per_image import (
    read_per_image,
    write_per_image,
)

VALUES = ("value", "ci_low", "ci_high", "n_images", "n_people")


@pytest.fixture(scope="module")
def config(config: Config) -> Config:
    return few_runs(config, "dfpg_a", "dfpg_b")


@pytest.fixture(scope="module")
def built(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifacts(config, tmp_path_factory.mktemp("built") / "artifacts")


@pytest.fixture
def artifacts(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "artifacts"))


@pytest.fixture
def folder(config: Config, artifacts: Path, tmp_path: Path) -> Path:
    return write_submission(config, artifacts, tmp_path / "submissions")


def tables(config: Config, artifacts: Path, folder: Path | None) -> Path:
    out = artifacts.parent / f"results {folder.name if folder else None}"
    build_tables(config, artifacts, out, folder)
    return out


def records(path: Path, row: str) -> list[dict[str, str]]:
    return [r for r in csv.DictReader(path.read_text().splitlines()) if r["row"] == row]


def change(folder: Path, **values: object) -> None:
    path = folder / "mynet" / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(("protocol", "names"), [("a", ("table1", "table3")), ("b", ("table2",))])
def test_a_submission_of_the_blurred_images_is_the_row_blurred(
    config, artifacts, tmp_path, protocol, names
):
    out = tables(
        config, artifacts, write_submission(config, artifacts, tmp_path / "submissions", protocol)
    )
    for name in ("table1", "table2", "table3", "table4"):
        own = records(out / f"{name}.csv", "mynet")
        if name not in names:
            assert own == []
            continue
        blurred = records(out / f"{name}.csv", "blurred")
        assert len(own) == len(blurred) > 0
        for one, two in zip(own, blurred, strict=True):
            assert [one[key] for key in VALUES] == [two[key] for key in VALUES]
            assert one["value"]
            assert (one["fidelity"], one["note"]) == ("external", "MyNet, its own code")
            assert one["train_images"] == one["published"] == one["verdict"] == ""
    gains = [r for r in records(out / "gains.csv", "mynet") if r["metric"] == "psnr"]
    assert gains
    assert {(gain["gain"], gain["verdict"]) for gain in gains} == {("0.00000", "undecided")}


def test_no_submissions_leave_every_byte(config, artifacts, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.md").write_text("no submission")
    (tmp_path / "empty" / ".mynet-x").mkdir()
    (tmp_path / "empty" / ".mynet-x" / "card.json").write_text("left by a crash")
    plain = tables(config, artifacts, None)
    for other in (tmp_path / "empty", tmp_path / "absent"):
        out = tables(config, artifacts, other)
        for path in filter(Path.is_file, plain.rglob("*")):
            assert (out / path.relative_to(plain)).read_bytes() == path.read_bytes()


def test_scores_of_another_test_set_leave_the_row_with_its_reason(config, artifacts, folder):
    path = folder / "mynet" / "per_image.csv"
    write_per_image(read_per_image(path)[1:], path)
    change(folder, profile="research")
    out = tables(config, artifacts, folder)
    for name in ("table1", "table3"):
        for record in records(out / f"{name}.csv", "mynet"):
            assert record["value"] == ""
            assert record["reason"].startswith("submitted for another test set (profile research)")
    other = write_submission(config, artifacts, folder.parent / "other")
    card = json.loads((other / "mynet" / "card.json").read_text())
    change(other, blurred=card["blurred"] | {"psnr": card["blurred"]["psnr"] + 0.006})
    record = records(tables(config, artifacts, other) / "table1.csv", "mynet")[0]
    assert record["reason"].startswith("submitted for another test set")


def test_another_prior_network_takes_d_vgg_alone(config, artifacts, folder):
    card = json.loads((folder / "mynet" / "card.json").read_text())
    change(
        folder, blurred=card["blurred"] | {"d_vgg_authors": card["blurred"]["d_vgg_authors"] * 1.03}
    )
    out = tables(config, artifacts, folder)
    for record in records(out / "table1.csv", "mynet"):
        assert bool(record["value"]) == (record["metric"] != "d_vgg")
        if record["metric"] == "d_vgg":
            assert record["reason"] == "scored with another network: submit it again"
    assert all(record["value"] for record in records(out / "table1.csv", "dfpg_a"))


def test_other_pairs_or_embedder_take_table_3_alone(config, artifacts, folder):
    change(folder, embedder="another")
    out = tables(config, artifacts, folder)
    assert all(record["value"] for record in records(out / "table1.csv", "mynet"))
    reasons = {record["reason"] for record in records(out / "table3.csv", "mynet")}
    assert reasons == {"verified with another network or other pairs"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("card.json", "{", r"card\.json: missing or damaged: submit it again"),
        ("card.json", "{}", r"card\.json: name: Field required: submit it again"),
        ("per_image.csv", "hello\n", r"per_image\.csv: missing or damaged: submit mynet again"),
        ("recognition.csv", None, r"recognition\.csv: missing or damaged: submit mynet again"),
    ],
)
def test_a_damaged_submission_is_one_line(config, artifacts, folder, name, text, message):
    path = folder / "mynet" / name
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        tables(config, artifacts, folder)
    assert "\n" not in str(caught.value)
    assert not (artifacts.parent / "results submissions").exists()


def test_recognition_of_other_images_is_refused(config, artifacts, folder):
    path = folder / "mynet" / "recognition.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"recognition\.csv: not of the images of per_image\.csv"):
        tables(config, artifacts, folder)


def test_a_submission_cannot_pass_for_a_run_or_for_another(config, artifacts, folder):
    runs = config.runs | {"mynet": config.runs["dfpg_b"]}
    with pytest.raises(UserError, match=r"mynet is a run of params\.yaml"):
        tables(config.model_copy(update={"runs": runs}), artifacts, folder)
    shutil.copytree(folder / "mynet", folder / "other")
    with pytest.raises(UserError, match=r"other/card\.json: names 'mynet'"):
        tables(config, artifacts, folder)
