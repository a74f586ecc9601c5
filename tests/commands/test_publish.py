"""Records of other profiles' runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dfpg.commands.publish import publish
from dfpg.core.config import Config
from dfpg.core.errors import UserError

TABLES = ("table1.csv", "table2.csv", "table3.csv", "table4.csv")


@pytest.fixture
def project(config: Config, tmp_path: Path) -> Path:
    (tmp_path / "results" / "metrics").mkdir(parents=True)
    for folder in ("history", "cost", "per_image", "recognition"):
        (tmp_path / "artifacts" / folder).mkdir(parents=True)
    for name in TABLES:
        (tmp_path / "results" / name).write_text(f"row\n{name}\n")
    made = {"profile": config.profile, "seed": config.seed, "commit": "c0ffee"}
    (tmp_path / "results" / "environment.json").write_text(json.dumps(made))
    (tmp_path / "results" / "restored_a.png").write_bytes(b"a person")
    (tmp_path / "params.yaml").write_text("profile: smoke\n")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    (tmp_path / "artifacts" / "history" / "b1.csv").write_text("step\n1\n")
    (tmp_path / "artifacts" / "cost" / "b1.json").write_text("{}")
    (tmp_path / "artifacts" / "per_image" / "b1.csv").write_text("image\n0\n")
    (tmp_path / "artifacts" / "recognition" / "b1.csv").write_text("image\n")
    return tmp_path


def relative(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_record_holds_text_and_no_pictures(config, project):
    line = publish(config, "mine", project)
    record = project / "results" / "mine"
    assert relative(record) == {
        *TABLES,
        *("environment.json", "params.yaml", "dvc.lock"),
        *("history/b1.csv", "cost/b1.json", "per_image/b1.csv", "recognition/b1.csv"),
    }
    assert (record / "table2.csv").read_text() == "row\ntable2.csv\n"
    assert line.endswith("results/mine: 11 files of profile smoke, seed 0")
    assert not list((project / "results").glob(".*"))


def test_what_belongs_to_another_run_is_left_out(config, project):
    results = project / "results"
    for name, profile, seed in (
        ("budget.csv", config.profile, config.seed),
        ("readings.csv", "paper", config.seed),
        ("tuning.csv", config.profile, config.seed + 1),
    ):
        lines = f"effect,profile,seed\n0.1,{config.profile},{config.seed}\n0.2,{profile},{seed}\n"
        (results / name).write_text(lines)
    (results / "seeds.csv").write_text(f"value,profile\n1,{config.profile}\n")
    (results / "throughput-cpu-mine.csv").write_text("ms\n1\n")
    publish(config, "mine", project)
    kept = relative(results / "mine") & {path.name for path in results.glob("*.csv")}
    assert kept == {*TABLES, "budget.csv"}


def test_a_record_is_replaced_only_with_force(config, project):
    publish(config, "mine", project)
    (project / "results" / "mine" / "old.csv").write_text("old")
    with pytest.raises(UserError, match="is there already"):
        publish(config, "mine", project)
    assert (project / "results" / "mine" / "old.csv").exists()
    publish(config, "mine", project, force=True)
    assert not (project / "results" / "mine" / "old.csv").exists()


@pytest.mark.parametrize("name", ["metrics", "seeds"])
def test_folders_that_are_no_records_stay_as_they_are(config, project, name):
    kept = project / "results" / name / "0" / "params.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text("seed: 0\n")
    with pytest.raises(UserError, match=f"{name}: is kept for something else"):
        publish(config, name, project, force=True)
    assert kept.read_text() == "seed: 0\n"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (
            '{"profile": "gpu", "seed": 0}',
            "a record of profile gpu, seed 0, and this one is of smoke",
        ),
        ('{"profile": "smoke", "seed": 1}', "a record of profile smoke, seed 1"),
        ("{", r"environment\.json: missing or damaged: choose another name"),
        (None, r"environment\.json: missing or damaged: choose another name"),
    ],
)
@pytest.mark.parametrize("force", [True, False])
def test_force_replaces_no_other_runs_record(config, project, made, message, force):
    other = project / "results" / "gpu"
    other.mkdir()
    (other / "table1.csv").write_text("row\n1\n")
    if made is not None:
        (other / "environment.json").write_text(made)
    before = relative(other)
    with pytest.raises(UserError, match=message):
        publish(config, "gpu", project, force=force)
    assert relative(other) == before


def test_records_do_not_become_part_of_later_records(config, project):
    publish(config, "first", project)
    publish(config, "second", project)
    assert relative(project / "results" / "second") == relative(project / "results" / "first")


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Caps", "-x", ".hidden"])
def test_names_that_are_no_folder_names_are_refused(config, project, name):
    before = relative(project)
    with pytest.raises(UserError, match="lower-case letters"):
        publish(config, name, project, force=True)
    assert relative(project) == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "results" / "table3.csv").unlink(), "table3.csv: missing"),
        (lambda p: (p / "dvc.lock").unlink(), "dvc.lock: missing"),
        (lambda p: (p / "artifacts" / "history" / "b1.csv").unlink(), r"history: no \*\.csv"),
        (lambda p: (p / "results" / "environment.json").write_text("{"), "damaged"),
        (lambda p: (p / "results" / "table1.csv").write_bytes(b"row\n\xff\n"), "1.csv: cannot"),
        (lambda p: (p / "results" / "table1.csv").write_text("a" * 200_000), "table1.csv: damaged"),
        (
            lambda p: (p / "artifacts" / "history" / "b1.csv").write_bytes(b"\xff"),
            "b1.csv: cannot be read",
        ),
        (
            lambda p: (p / "results" / "environment.json").write_text('{"profile": "paper"}'),
            "made with profile paper, params.yaml says smoke",
        ),
        (
            lambda p: (p / "results" / "environment.json").write_text(
                '{"profile": "smoke", "seed": 7}'
            ),
            "made with seed 7, params.yaml says 0",
        ),
    ],
)
def test_what_is_missing_or_of_another_run_is_named(config, project, spoil, message):
    spoil(project)
    with pytest.raises(UserError, match=message):
        publish(config, "mine", project)
    assert not (project / "results" / "mine").exists()
