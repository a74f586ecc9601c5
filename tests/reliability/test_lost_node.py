"""A node of a Ray cluster is lost in the middle of a training: the weights are the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest
from helpers.counts import count
from helpers.places import ROOT
from helpers.short_trainings import outputs
from helpers.toys import wait_until

from dfpg.commands.cluster.attempt import Task
from dfpg.commands.cluster.tasks import (
    SETTINGS,
    connect,
    open_folder,
    run_tasks,
    share_of,
    variables,
)
from dfpg.commands.side_by_side import Driver
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.kernels import build_kernels

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[cluster]'"
    ),
]
MEMORY = 80 * 2**20  # bytes of every node's object store: the least that Ray takes
RUN, STEPS, MIDDLE = "b1", 8, 3
# A checkpoint after every step, a while apart, so that there is a middle to be killed in.
TRAIN = f"""
import sys, time
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import dfpg.training.loop as loop
from helpers import short_trainings
save, short = loop.save_checkpoint, short_trainings.short
def slowly(*arguments):
    save(*arguments)
    time.sleep(float(sys.argv[3]))
def long(run):
    config = short(run)
    images = {STEPS} * config.training.batch_size
    runs = {{run: config.runs[run].model_copy(update={{"images": images}})}}
    return config.model_copy(update={{"runs": runs}})
loop.save_checkpoint, short_trainings.short = slowly, long
short_trainings.train_run(Path(sys.argv[1]), sys.argv[2], Path("kernels"))
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Three nodes on this machine: the driver's, which computes nothing, and two of one core."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_gpus": 0, "object_store_memory": MEMORY}
    head = {**node, "num_cpus": 0, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, **node)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build_kernels(resolve_profile("smoke")[0], tmp_path / "kernels")
    return tmp_path


def newest_step(scratch: Path) -> int:
    return max(
        (int(path.stem[-9:]) for path in scratch.glob("checkpoint-*.safetensors")), default=0
    )


def lose_a_node(cluster: Any, root: Path, lost: list[int]) -> None:
    """Kill the node that trains, and all that runs on it, in the training's middle."""
    scratch = root / "here" / "scratch"
    wait_until(lambda: newest_step(scratch) >= MIDDLE)
    place = root / "scratch" / "cluster" / f"{RUN}.json"
    training = psutil.Process(json.loads(place.read_text())["pid"])
    worker = training.parent()
    assert worker is not None
    nodes = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
    node = next(nodes[process.pid] for process in worker.parents() if process.pid in nodes)
    for process in (worker, training):
        process.send_signal(signal.SIGKILL)
    lost.append(newest_step(scratch))
    cluster.remove_node(node, allow_graceful=False)


def test_a_lost_node_changes_no_bit(cluster, root, capfd):
    whole = [sys.executable, "-c", TRAIN, "whole", RUN, "0"]
    subprocess.run(whole, cwd=root, check=True, env=os.environ | variables())
    share = share_of(connect(cluster.address, 0), 1)
    command = ("-c", TRAIN, "here", RUN, "0.4")
    made = ("here/run.safetensors", "here/run.csv")
    task = Task(RUN, root, open_folder(root), (command,), made, variables())
    lost: list[int] = []
    finished: list[str] = []
    killer = Thread(target=lose_a_node, args=(cluster, root, lost), daemon=True)
    killer.start()
    with Driver(root, "cluster") as driver:
        assert run_tasks(driver, [task], share, finished.append) == {}
    killer.join()
    (step,) = lost
    assert MIDDLE <= step < STEPS
    said = capfd.readouterr().err
    assert f"{RUN}: {os.uname().nodename} is lost" in said
    assert f"{RUN}: done on" in said
    assert finished == [RUN]
    assert f"{step}/{STEPS} step" in (root / task.log).read_text()  # it did not begin anew
    assert outputs(root / "here") == outputs(root / "whole")
    assert not (root / "here" / "scratch").exists()
    count("nodes lost under a training", 1, f"at step {step} of {STEPS}, equal bits elsewhere")
