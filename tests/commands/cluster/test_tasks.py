from __future__ import annotations

from importlib.util import find_spec

import pytest

from dfpg.commands.cluster.attempt import FOLDER, TOKEN, Task
from dfpg.commands.cluster.tasks import Share, connect, open_folder, run_tasks, share_of, variables
from dfpg.commands.side_by_side import Driver
from dfpg.core.device import CPU_ONLY
from dfpg.core.errors import UserError

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'dfpg-bench[cluster]'"
)


def test_a_task_takes_a_core_and_where_there_are_gpus_its_part_of_one(monkeypatch):
    monkeypatch.delenv(CPU_ONLY, raising=False)
    assert share_of({"CPU": 16.0}, 3) == Share(1, 0)
    assert share_of({"CPU": 16.0, "GPU": 8.0}, 1) == Share(1, 1)
    assert share_of({"CPU": 16.0, "GPU": 8.0}, 4) == Share(1, 0.25)
    monkeypatch.setenv(CPU_ONLY, "1")
    assert share_of({"CPU": 16.0, "GPU": 8.0}, 4) == Share(1, 0)
    assert variables() == {"OMP_NUM_THREADS": "1", CPU_ONLY: "1"}


def test_a_cluster_that_computes_nothing_is_one_line():
    with pytest.raises(UserError, match="offer no core"):
        share_of({"memory": 1e9}, 1)


def test_every_command_begins_with_an_empty_folder_and_a_token_of_its_own(tmp_path):
    first = open_folder(tmp_path)
    (tmp_path / FOLDER / "b1.log").write_text("old")
    second = open_folder(tmp_path)
    assert first != second
    assert (tmp_path / TOKEN).read_text() == second
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["token"]


@needs_ray
def test_no_cluster_is_one_line():
    with pytest.raises(UserError, match="no Ray at auto"):
        connect("auto", 1)


@needs_ray
@pytest.mark.slow
def test_tasks_of_one_machine_end_are_stopped_and_fail_each_on_its_own(tmp_path, capfd):
    import ray

    token = open_folder(tmp_path)
    once = (
        "import os, pathlib, signal\nflag = pathlib.Path('flag')\nif not flag.exists():\n"
        "    flag.touch()\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "pathlib.Path('made').write_text(os.environ['OMP_NUM_THREADS'])"
    )
    codes = {"again": once, "fails": "import sys; sys.exit('no luck')", "bad": "pass"}
    made = {"again": ("made",), "fails": (), "bad": ()}
    tasks = [
        Task(name, tmp_path, token, (("-c", code),), made[name], variables())
        for name, code in codes.items()
    ]

    def finish(name: str) -> None:
        if name == "bad":
            raise UserError("params.yaml changed")

    share = share_of(connect(None, 2), 1)
    try:
        with Driver(tmp_path, "cluster") as driver:
            failed = run_tasks(driver, tasks, share, finish)
    finally:
        ray.shutdown()
    assert failed == {"fails": "no luck", "bad": "params.yaml changed"}
    assert (tmp_path / "made").read_text() == "1"
    said = capfd.readouterr().err
    assert "again: stopped on" in said
    assert "cluster: 1 done, 2 failed" in said
