from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from dfpg.commands.cluster.command import cluster_run, plan
from dfpg.commands.dvc_stages import Stage
from dfpg.core.errors import UserError, line_of


def test_without_ray_one_line_names_the_extra(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError) as error:
        cluster_run(config, tmp_path, [], None, 1, 1)
    assert line_of(error.value) == ("ray is not installed: run `pip install 'dfpg-bench[cluster]'`")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_an_unknown_run_is_refused_before_anything_runs(config, tmp_path):
    with pytest.raises(UserError, match=r"runs\.b99: no such run"):
        cluster_run(config, tmp_path, ["b99"], None, 1, 1)
    assert not list(tmp_path.iterdir())


def test_a_run_is_trained_where_it_has_to_be_and_then_scored():
    def stage(*outputs: str) -> Stage:
        return Stage(frozenset(), outputs, locked=True, kept=True)

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
