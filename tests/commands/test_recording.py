from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.clones import executed

from dfpg.commands import recording
from dfpg.commands.dvc_calls import dvc
from dfpg.commands.recording import add_runs, check_publishable
from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.core.params_data import Subset

pytestmark = pytest.mark.usefixtures("forked_dvc")

DVC_CONFIG = """[core]
    analytics = false
    no_scm = true
    remote = store
['remote "store"']
    url = ../store
"""
PIPELINE = """
stages:
  code:
    cmd: mkdir -p artifacts/code && echo 1 > artifacts/code/x
    outs: [artifacts/code]
  priors:
    cmd: mkdir -p artifacts/priors && echo ${prior} > artifacts/priors/x
    deps: [artifacts/code]
    params: [prior]
    outs: [artifacts/priors]
  faces:
    cmd: mkdir -p artifacts/faces && cp artifacts/priors/x artifacts/faces/x
    deps: [artifacts/priors]
    outs: [artifacts/faces]
  train:
    foreach: [b1, b2]
    do:
      cmd: >-
        cd artifacts && mkdir -p weights history cost && echo ${item} > weights/${item}.safetensors
        && echo ${item} > history/${item}.csv && echo ${item} > cost/${item}.json
      deps: [artifacts/priors, artifacts/faces]
      params: [lr]
      outs:
        - artifacts/weights/${item}.safetensors
        - artifacts/history/${item}.csv
        - artifacts/cost/${item}.json
"""
FILES = ("weights/b2.safetensors", "history/b2.csv", "cost/b2.json")
FACTS = {"seed": 0, "inputs": {"vgg16.safetensors": "ab", "b.safetensors": "cd"}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline of two runs in which nothing has run yet; what is asked of a training is FACTS."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(DVC_CONFIG)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("lr: 1\nprior: 2\n")
    monkeypatch.setattr(recording, "build_method", lambda *_, **__: None)
    monkeypatch.setattr(recording, "training_inputs", lambda *_: FACTS)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that `dfpg train b2 --into` filled on another machine."""
    folder = tmp_path / "elsewhere"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(f"{name} of another machine")
    (folder / "made_from").mkdir()
    say(folder)
    return folder


def say(folder: Path, **changes: object) -> None:
    """Write what the training in a folder was asked to do."""
    weights = {"weights": sha256(folder / "weights" / "b2.safetensors")}
    (folder / "made_from" / "b2.json").write_text(json.dumps(FACTS | weights | changes))


def cloned(project: Path, folder: Path) -> Path:
    """What a commit of the project holds, with what its store has."""
    folder.mkdir()
    shutil.copytree(
        project / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp")
    )
    shutil.copytree(project / "store", folder / "store")
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        shutil.copy(project / name, folder)
    recording.pull_record(folder)
    return folder


def test_trainings_are_recorded_one_by_one_from_here_and_from_elsewhere(
    config, project, elsewhere, tmp_path
):
    dvc(project, "repro", "-q", "train@b1")
    said = add_runs(config, project, ["b1"])
    assert said.splitlines()[:2] == [
        f"on record: 1 of {len(config.runs)} runs: b1",
        "not scored yet: b1: `dfpg graph b1`",
    ]
    second = cloned(project, tmp_path / "second")
    assert executed(dvc(second, "repro", "train@b1")) == set()
    assert executed(dvc(second, "repro", "--dry", "train@b2")) == {"train@b2"}
    said = add_runs(config, second, ["b2"], elsewhere)
    assert said.startswith(f"on record: 2 of {len(config.runs)} runs: b1, b2\n")
    third = cloned(second, tmp_path / "third")
    assert executed(dvc(third, "repro")) == set()
    for name in FILES:
        assert (third / "artifacts" / name).read_bytes() == (elsewhere / name).read_bytes()
    with pytest.raises(UserError, match="b2: trained with this code and these parameters already"):
        add_runs(config, third, ["b2"], elsewhere)


def test_a_training_that_is_not_of_here_and_now_is_refused(config, project, elsewhere):
    with pytest.raises(UserError, match=r"b2: priors is not as dvc\.lock says"):
        add_runs(config, Path(), ["b2"], elsewhere)
    dvc(project, "repro", "-q", "faces")
    lock = Path("dvc.lock").read_bytes()
    with pytest.raises(UserError, match="b2: no finished training in artifacts: `dfpg graph b2`"):
        add_runs(config, Path(), ["b2"])
    say(elsewhere, seed=1, inputs={"vgg16.safetensors": "ef", "b.safetensors": "cd"})
    with pytest.raises(UserError, match=r"with other seed, inputs\.vgg16\.safetensors than"):
        add_runs(config, Path(), ["b2"], elsewhere)
    say(elsewhere)
    (elsewhere / "weights" / "b2.safetensors").write_text("flipped")
    with pytest.raises(UserError, match="with other weights than"):
        add_runs(config, Path(), ["b2"], elsewhere)
    (elsewhere / "made_from" / "b2.json").write_text("{")
    with pytest.raises(UserError, match=r"b2\.json: damaged"):
        add_runs(config, Path(), ["b2"], elsewhere)
    with pytest.raises(UserError, match="name the runs to take"):
        add_runs(config, Path(), [], elsewhere)
    with pytest.raises(UserError, match=r"runs\.b99: no such run"):
        add_runs(config, Path(), ["b99"])
    assert Path("dvc.lock").read_bytes() == lock
    assert not Path("artifacts/weights").exists()


def test_real_people_and_others_weights_stay_out_of_the_repository(config):
    check_publishable(config)
    own = config.model_copy(deep=True)
    own.protocols["b"].test.subsets["ffhq"] = Subset(source="portraits")
    weights = config.model_copy(deep=True)
    weights.runs["b1"] = config.runs["b1"].model_copy(update={"weights": "x.pth"})
    prior = config.model_copy(
        update={"prior": config.prior.model_copy(update={"vggface": "VGGFace16.pth"})}
    )
    for changed, said in (
        (own, r"portraits: photographs of real people"),
        (weights, r"runs\.b1\.weights: others' weights"),
        (prior, r"prior\.vggface: others' weights"),
    ):
        with pytest.raises(UserError, match=said):
            check_publishable(changed)
