from __future__ import annotations

import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from dfpg.commands.cluster import command as module
from dfpg.commands.cluster.attempt import Outcome, attempt
from dfpg.commands.cluster.command import cluster_run, plan
from dfpg.commands.dvc_calls import dvc
from dfpg.commands.dvc_stages import Stage
from dfpg.core.errors import UserError, error_line

STAGE = """
import sys
from pathlib import Path
out, *inputs = sys.argv[1:]
Path(out).write_text(out + "".join(Path(name).read_text() for name in inputs))
with Path("ran").open("a") as log:
    log.write(out + "\\n")
"""
PIPELINE = """
stages:
  parsing:
    cmd: python stage.py parsing
    deps: [stage.py]
    outs: [parsing]
  baselines:
    cmd: python stage.py baselines
    outs: [baselines]
  train:
    foreach: [b1, b2]
    do:
      cmd: python stage.py train_${item} parsing
      deps: [parsing]
      outs: ['train_${item}']
  evaluate:
    foreach: [b1, b2]
    do:
      cmd: python stage.py evaluate_${item} train_${item} baselines
      deps: ['train_${item}', baselines]
      outs: ['evaluate_${item}']
  tables:
    cmd: python stage.py tables evaluate_b1 evaluate_b2
    deps: [evaluate_b1, evaluate_b2]
    outs: [tables]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy pipeline; Ray's part is done in this process, and code is not looked at."""
    monkeypatch.chdir(tmp_path)
    Path("stage.py").write_text(STAGE)
    Path("dvc.yaml").write_text(PIPELINE)
    dvc(tmp_path, "init", "--no-scm", "-q")
    remote = "[core]\n    analytics = false\n    no_scm = true\n    remote = store\n"
    Path(".dvc/config").write_text(f"{remote}['remote \"store\"']\n    url = {tmp_path}/store\n")

    def toy(root, trains, _stages, token):
        tasks = []
        for task in plan(
            root,
            trains,
            {
                f"{s}@{r}": Stage("", frozenset(), (f"{s}_{r}",), True, True, True)
                for s in ("train", "evaluate")
                for r in trains
            },
            token,
        ):
            inputs = {"train": ["parsing"], "evaluate": [f"train_{task.name}", "baselines"]}
            commands = [
                ("stage.py", f"{stage}_{run}", *inputs[stage]) for _, _, stage, run in task.commands
            ]
            tasks.append(replace(task, commands=tuple(commands)))
        return tasks

    def run_here(_driver, tasks, _share, finish):
        failed = {}
        for task in tasks:
            outcome: Outcome = attempt(task, after_loss=False)
            if outcome.code:
                failed[task.name] = outcome.line
            else:
                finish(task.name)
        return failed

    def enter(_config, root, run):
        if not Path(f"train_{run}").exists():
            raise UserError("no finished training")
        dvc(root, "commit", "--quiet", "--force", f"train@{run}")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(shutdown=lambda: None))
    monkeypatch.setattr(module, "connect", lambda *_: {"CPU": 1.0})
    monkeypatch.setattr(module, "plan", toy)
    monkeypatch.setattr(module, "run_tasks", run_here)
    monkeypatch.setattr(module, "enter_training", enter)
    monkeypatch.setattr(module, "check_code", lambda _: None)
    return tmp_path


def ran() -> list[str]:
    """What has run since the last time."""
    path = Path("ran")
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


@pytest.mark.slow
def test_what_the_nodes_made_is_entered_and_nothing_is_left_to_do(project, config, monkeypatch):
    monkeypatch.setattr(module, "load_config", lambda: config)
    said = cluster_run(config, Path(), ["b1"], None, 1, 1)
    assert said.startswith("1 runs made")
    assert sorted(ran()) == sorted(["parsing", "baselines", "train_b1", "evaluate_b1"])
    found = dvc(project, "status", "--json")
    assert "@b1" not in found
    assert "train@b2" in found
    Path("train_b2").write_text("train_b2parsing")  # a killed driver had not entered it
    assert cluster_run(config, Path(), [], None, 1, 1).endswith("everything is up to date")
    assert ran() == ["evaluate_b2", "tables"]
    assert dvc(project, "status", "--json").strip() == "{}"
    assert "Running stage" not in dvc(project, "repro")
    assert cluster_run(config, Path(), [], None, 1, 1).startswith("nothing to do")
    assert ran() == []


@pytest.mark.slow
def test_parameters_that_change_meanwhile_are_noticed(project, config, monkeypatch):
    changed = config.model_copy(update={"seed": config.seed + 1})
    monkeypatch.setattr(module, "load_config", lambda: changed)
    with pytest.raises(UserError, match=r"params\.yaml changed while b1 ran"):
        cluster_run(config, Path(), ["b1"], None, 1, 1)
    assert "train@b1" in dvc(project, "status", "--json")


def test_without_ray_one_line_names_the_extra(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError) as error:
        cluster_run(config, tmp_path, [], None, 1, 1)
    assert error_line(error.value) == (
        "ray is not installed: run `pip install -e '.[cluster]'` in the clone"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_an_unknown_run_is_refused_before_anything_runs(config, tmp_path):
    with pytest.raises(UserError, match=r"runs\.b99: no such run"):
        cluster_run(config, tmp_path, ["b99"], None, 1, 1)
    assert not list(tmp_path.iterdir())


def test_a_run_is_trained_where_it_has_to_be_and_then_scored():
    def stage(*outputs: str) -> Stage:
        return Stage("", frozenset(), outputs, locked=True, cached=True, kept=True)

    stages = {
        "train@b1": stage("weights/b1", "cost/b1"),
        "evaluate@b1": stage("per_image/b1"),
        "train@b2": stage("weights/b2"),
        "evaluate@b2": stage("per_image/b2"),
    }
    first, second = plan(Path("/project"), {"b1": True, "b2": False}, stages, "token")
    assert [command[2:] for command in first.commands] == [("train", "b1"), ("evaluate", "b1")]
    assert first.outputs == ("weights/b1", "cost/b1", "per_image/b1")
    assert [command[2:] for command in second.commands] == [("evaluate", "b2")]
    assert second.outputs == ("per_image/b2",)
    assert first.variables["OMP_NUM_THREADS"] == "1"
