from __future__ import annotations

import os
import signal
import socket
from importlib.util import find_spec
from threading import Thread

import pytest
from helpers.toys import wait_until

from dfpg.commands.cluster.attempt import FOLDER, TOKEN, Task
from dfpg.commands.cluster.tasks import Share, connect, open_folder, run_tasks, share_of, variables
from dfpg.commands.side_by_side import Driver
from dfpg.core.device import CPU_ONLY
from dfpg.core.errors import UserError
from dfpg.training.lock import StoppedError

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[cluster]'"
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
@pytest.mark.parametrize("port", ["closed", "none"])
def test_no_cluster_is_one_line(port):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1] if port == 'closed' else port}"
        with pytest.raises(UserError, match=f"no Ray at {address} .*ray start --head"):
            connect(address, 1)


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
    assert "again: done on" in said


@needs_ray
@pytest.mark.slow
def test_a_signal_ends_every_task_gently(tmp_path):
    import ray

    code = (
        "import pathlib, signal, sys, time\n"
        "def leave(*_):\n    pathlib.Path('saved').touch()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, leave)\npathlib.Path('begun').touch()\ntime.sleep(600)"
    )
    task = Task("long", tmp_path, open_folder(tmp_path), (("-c", code),), (), variables())
    ends = Thread(
        target=lambda: (
            wait_until((tmp_path / "begun").exists),
            os.kill(os.getpid(), signal.SIGTERM),
        )
    )
    try:
        with Driver(tmp_path, "cluster") as driver:
            share = share_of(connect(None, 1), 1)
            ends.start()
            with pytest.raises(StoppedError, match=r"cluster: stopped \(SIGTERM\)"):
                run_tasks(driver, [task], share, lambda _: None)
            assert (tmp_path / "saved").exists()
    finally:
        ray.shutdown()
    ends.join()
