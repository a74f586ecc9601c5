"""Trainings of several processes: the weights of one, and all leave together."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toys import rows, start, toy_config, train_toy
from safetensors.torch import load, load_file

from dfpg.core.errors import UserError
from dfpg.training import loop
from dfpg.training.agreement import agree_on_refusal


def train_in_processes(
    folder: Path, count: int, batch_size: int = 4, prepare: Any = None
) -> list[int]:
    """Exit codes of the processes; once more where another program took the port meanwhile."""
    codes = _train_once(folder, count, batch_size, prepare)
    if "EADDRINUSE" in (folder / "rank0" / "stderr").read_text():
        shutil.rmtree(folder / "rank0")
        codes = _train_once(folder, count, batch_size, prepare)
    return codes


def _train_once(folder: Path, count: int, batch_size: int, prepare: Any) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Every process writes its messages to a folder of its own, the outputs go where rank 0 runs.
    config = toy_config(30, batch_size=batch_size, checkpoint_every=10)
    processes = [
        start(folder / f"rank{rank}", config, Rank(rank, count, port, prepare))
        for rank in range(count)
    ]
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


class Rank:
    """Sets what ``accelerate launch --cpu`` sets."""

    def __init__(self, rank: int, count: int, port: int, prepare: Any = None) -> None:
        self.rank, self.prepare = rank, prepare
        facts = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        facts |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "ACCELERATE_USE_CPU": 1}
        self.environment = {name: str(value) for name, value in facts.items()}
        self.environment["OMP_NUM_THREADS"] = "1"

    def __call__(self) -> None:
        os.environ.update(self.environment)
        if self.prepare:
            self.prepare(self.rank)


def test_two_processes_give_the_weights_of_one(tmp_path):
    weights, history = train_toy(tmp_path / "one", toy_config(30, checkpoint_every=10))
    assert train_in_processes(tmp_path, 2) == [0, 0], (tmp_path / "rank0/stderr").read_text()
    found = load_file(tmp_path / "rank0" / "toy.safetensors")
    for name, value in load(weights).items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
    shared = rows((tmp_path / "rank0" / "toy.csv").read_bytes())
    for mine, other in zip(rows(history), shared, strict=True):
        assert {k: float(v) for k, v in other.items()} == pytest.approx(
            {k: float(v) for k, v in mine.items()}, rel=1e-4
        )
    assert not (tmp_path / "rank1" / "toy.safetensors").exists()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    assert train_in_processes(tmp_path, 2, batch_size=3) == [2, 2]
    message = (tmp_path / "rank0/stderr").read_text()
    assert "training.batch_size: 3 cannot be shared evenly among 2 processes" in message


OTHER = "another process of this training refused: see its message"


def slow_start(rank: int) -> None:
    """The other process comes late to every meeting, as on a loaded machine."""
    time.sleep(1.5 * rank)
    waits = agree_on_refusal.__wrapped__

    @contextmanager
    def late(world):
        time.sleep(0.3 * rank)
        with contextmanager(waits)(world):
            yield

    loop.agree_on_refusal = late


def full_disk(rank: int) -> None:
    slow_start(rank)

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.fsync = fsync


def no_folder(rank: int) -> None:
    slow_start(rank)

    def refuse(*_):
        raise UserError("process 1 is training this run")

    loop.StateFolder = refuse


@pytest.mark.parametrize(
    ("batch_size", "prepare", "said", "other"),
    [
        (3, slow_start, "3 cannot be shared evenly", "3 cannot be shared evenly"),
        (4, full_disk, "No space left on device", OTHER),
        (4, no_folder, "process 1 is training this run", OTHER),
    ],
    ids=["batch", "full_disk", "locked"],
)
def test_all_processes_leave_with_one_line_each(tmp_path, batch_size, prepare, said, other):
    assert train_in_processes(tmp_path, 2, batch_size, prepare) == [2, 2]
    for rank, wanted in enumerate((said, other)):
        message = (tmp_path / f"rank{rank}/stderr").read_text()
        assert wanted in message
        assert "Traceback" not in message
