"""The ladder in a clone of a repository with a record: analyse, re-score, retrain."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.clones import NOTHING_S, attempt, changes, clone_of, dfpg, executed, run, time_nothing
from helpers.places import ROOT

from dfpg.core.config import load_config

pytestmark = pytest.mark.smoke

RECORD = ("store", "dvc.lock", "results", "params.yaml")


@pytest.fixture(scope="module")
def recorded(clone: Path) -> Path:
    """The clone in which the graph has run, with its results and its store committed."""
    (clone / "results" / "STALE.md").unlink(missing_ok=True)
    said = dfpg(clone, "record", "make", "--jobs", "1")
    assert "the record belongs to this code" in said
    print(f"\nstore: {said.splitlines()[-2]}")
    commit(clone)
    return clone


@pytest.fixture(scope="module")
def fresh(recorded: Path, tmp_path_factory) -> Iterator[Path]:
    """A fresh clone of that, with the record and the assets fetched."""
    folder = clone_of(recorded, tmp_path_factory.mktemp("store") / "fresh")
    start = time.monotonic()
    run(folder, "dvc", "pull")
    print(f"\nstore: dvc pull took {time.monotonic() - start:.1f} s")
    dfpg(folder, "fetch")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def tree(fresh: Path) -> Iterator[Path]:
    """The fresh clone; whatever a test changes is put back."""
    yield fresh
    run(fresh, "git", "checkout", "-q", ".")
    run(fresh, "dvc", "checkout", "-q", "--force")


def test_what_would_run_is_known_before_anything_is_fetched(recorded, tmp_path):
    folder = clone_of(recorded, tmp_path / "bare")
    assert not executed(run(folder, "dvc", "repro", "--dry", "--allow-missing"))


def test_nothing_is_left_to_do_in_a_fresh_clone(tree):
    assert json.loads(run(tree, "dvc", "status", "--json")) == {}
    assert json.loads(run(tree, "dvc", "status", "--cloud", "--json")) == {}
    assert time_nothing(tree) < NOTHING_S
    assert "nothing to do" in dfpg(tree, "record", "fetch")
    assert not changes(tree)


def test_tables_and_claims_follow_from_the_recorded_scores(tree):
    start = time.monotonic()
    said = dfpg(tree, "analyse")
    print(f"\nanalyse took {time.monotonic() - start:.1f} s")
    assert said.splitlines()[-1].endswith("byte for byte as in results: artifacts/analysed")
    changed = tree / "results" / "table4.csv"
    changed.write_text(changed.read_text().replace("b1", "b9", 1))
    refused = attempt(tree, sys.executable, "-m", "dfpg", "analyse")
    assert refused.returncode == 1
    assert refused.stdout.splitlines()[0] == "differs: results/table4.csv"


@pytest.mark.parametrize("part", ["--part", "--full"])
def test_the_recorded_networks_restore_the_same_images_again(tree, part):
    start = time.monotonic()
    said = dfpg(tree, "rescore", part)
    print(f"\nrescore {part} took {time.monotonic() - start:.1f} s")
    assert "every value agrees with the record" in said
    assert "byte for byte as recorded" in said
    assert not changes(tree)


def test_a_network_that_is_not_the_recorded_one_is_found(tree):
    weights = tree / "artifacts" / "weights"
    (weights / "b1.safetensors").unlink()
    shutil.copy(weights / "b2.safetensors", weights / "b1.safetensors")
    result = attempt(tree, sys.executable, "-m", "dfpg", "rescore")
    assert result.returncode == 1
    assert "values out of tolerance" in result.stdout


def test_a_learning_rate_retrains_its_run_alone_as_an_experiment(tree):
    ran = executed(run(tree, "dvc", "exp", "run", "-S", "runs.b1.lr=0.00005"))
    assert {name for name in ran if name.startswith("train")} == {"train@b1"}
    assert "tables" in ran
    found = json.loads(run(tree, "dvc", "metrics", "diff", "--json"))
    assert {Path(name).stem for name in found} - {"claims"} == {"b1"}
    run(tree, "dvc", "plots", "show", "--out", "plots")
    page = (tree / "plots" / "index.html").read_text()
    assert "training-b-b1.svg" in page
    shutil.rmtree(tree / "plots")


def test_training_says_that_its_weights_are_on_record(tree):
    weights = tree / "artifacts" / "weights" / "b1.safetensors"
    recorded = weights.read_bytes()
    weights.unlink()
    result = attempt(tree, sys.executable, "-m", "dfpg", "train", "b1")
    assert result.returncode == 0
    first = result.stderr.splitlines()[0]
    assert first.startswith("train b1: its weights are on record: `dvc pull` brings them")
    assert weights.read_bytes() == recorded


def test_a_run_is_retrained_beside_the_record(tree):
    said = dfpg(tree, "retrain", "b1", "--jobs", "1")
    assert "every gain agrees" in said
    assert "+0.000" in said
    assert not changes(tree)
    again = dfpg(tree, "retrain", "b1", "--jobs", "1")
    assert "have been trained with this code" in again


def test_runs_are_recorded_one_by_one_while_others_are_not_finished(clone, tmp_path):
    """A first clone records b1; a second trains b2 elsewhere and records it; a third has both."""
    first = clone_of(ROOT, tmp_path / "first")
    dfpg(first, "profile", "use", "smoke")
    dfpg(first, "fetch")
    run(first, "dvc", "cache", "dir", "--local", str(clone / ".dvc" / "cache"))  # has run once
    run(first, "dvc", "repro", "train@b1")
    count = len(load_config(first / "params.yaml").runs)
    assert f"on record: 1 of {count} runs: b1" in dfpg(first, "record", "add", "b1")
    commit(first)

    second = clone_of(first, tmp_path / "second")
    refused = attempt(second, sys.executable, "-m", "dfpg", "record", "fetch")
    assert refused.returncode == 2
    assert f"it has 1 of {count} runs (b1)" in refused.stderr
    dfpg(second, "fetch")
    assert executed(run(second, "dvc", "repro", "train@b1")) <= {"fetch"}
    assert executed(run(second, "dvc", "repro", "--dry", "train@b2")) == {"train@b2"}
    dfpg(second, "train", "b2", "--into", "artifacts/elsewhere")
    said = dfpg(second, "record", "add", "b2", "--from", "artifacts/elsewhere")
    assert f"on record: 2 of {count} runs: b1, b2" in said
    commit(second)

    third = clone_of(second, tmp_path / "third")
    dfpg(third, "fetch")
    run(third, "dvc", "pull", "--allow-missing")
    assert executed(run(third, "dvc", "repro", "train@b1", "train@b2")) <= {"fetch"}
    assert executed(run(third, "dvc", "repro", "--dry", "train@b3")) == {"train@b3"}
    assert not changes(third)


def commit(folder: Path) -> None:
    run(folder, "git", "add", *RECORD)
    run(folder, "git", "commit", "-qm", "record")
