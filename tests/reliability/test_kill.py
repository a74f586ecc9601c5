"""SIGKILL at any moment: no unreadable state, and the same bytes as without it."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from helpers.counts import count
from helpers.toys import Toy, start, toy_config, train_toy, wait_until

from dfpg.training.checkpoint import TrainingState, load_checkpoint


def readable_step(scratch: Path, capfd: pytest.CaptureFixture[str]) -> int:
    """Step of the newest checkpoint, read in full; fails if any file was damaged."""
    method = Toy()
    state = TrainingState(method.networks, method.optimisers(0.1, 0.1), {})
    state.average = dict(method.networks["generator"].state_dict())
    state.course = dict(method.networks["generator"].state_dict())
    capfd.readouterr()
    load_checkpoint(scratch, state)
    assert "damaged" not in capfd.readouterr().err
    return state.step


def holds_state(pid: int, folder: Path) -> bool:
    lock = folder / "scratch" / "lock"
    try:
        return lock.read_text().strip() == str(pid)
    except FileNotFoundError:
        return False


def newest_step(scratch: Path) -> int:
    """Step of the newest checkpoint, by its name; 0 where there is none."""
    return max(
        (int(path.stem[-9:]) for path in scratch.glob("checkpoint-*.safetensors")), default=0
    )


def kill_repeatedly(folder: Path, kills: int, capfd: pytest.CaptureFixture[str]) -> None:
    steps = 60
    config = toy_config(steps, checkpoint_every=1)
    expected = train_toy(folder / "whole", config, dropout=0.2)
    moments = random.Random(kills)
    done, run, finished, steps_seen = 0, 0, 0, set()
    while done < kills or finished == 0:
        here = folder / f"run{run}"
        process = start(here, config, dropout=0.2)
        if done < kills:
            wait_until(lambda p=process, h=here: holds_state(p.pid, h) or not p.is_alive())
            # Counted in steps: how long one takes depends on what else the machine does.
            goal = newest_step(here / "scratch") + moments.randint(0, 12)
            wait_until(
                lambda p=process, h=here, g=goal: (
                    newest_step(h / "scratch") >= g or not p.is_alive()
                )
            )
            time.sleep(moments.uniform(0.0, 0.02))
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            done += 1
            steps_seen.add(readable_step(here / "scratch", capfd))
            continue
        assert process.exitcode == 0, (here / "stderr").read_text()
        assert (
            (here / "toy.safetensors").read_bytes(),
            (here / "toy.csv").read_bytes(),
        ) == expected
        assert not (here / "scratch").exists()
        assert "damaged" not in (here / "stderr").read_text()
        run, finished = run + 1, finished + 1
    count("kills of a small training", done, f"{finished} ends with equal bytes, 0 lost")
    assert len(steps_seen) >= min(kills, 20) // 4, "the kills must fall all along the run"


def test_final_bytes_are_equal_after_10_kills_at_random_moments(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kill_repeatedly(tmp_path, 10, capfd)


@pytest.mark.slow
def test_final_bytes_are_equal_after_200_kills_at_random_moments(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kill_repeatedly(tmp_path, 200, capfd)


def die_at(operation: int) -> None:
    """Make this process SIGKILL itself just before its n-th file operation of a save."""
    count = 0

    def counted(function):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    os.fsync = counted(os.fsync)
    os.unlink = counted(os.unlink)
    Path.replace = counted(Path.replace)
    Path.unlink = counted(Path.unlink)


@pytest.mark.parametrize("apart", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_before_any_single_file_operation_changes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], apart: int
) -> None:
    config = toy_config(4, checkpoint_every=1)
    expected = train_toy(tmp_path / "whole", config, dropout=0.2)
    for operation in range(1, 100, apart):
        here = tmp_path / str(operation)
        process = start(here, config, partial(die_at, operation), dropout=0.2)
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        for whole in (here / "toy.safetensors", here / "toy.csv"):
            assert not whole.exists() or whole.read_bytes() in expected
        readable_step(here / "scratch", capfd)
        assert train_toy(here, config, dropout=0.2) == expected
        assert {p.name for p in here.iterdir()} == {
            "toy.safetensors", "toy.csv", "toy.json", "snapshots", "stderr",
        }  # fmt: skip
    assert operation > 15, "three checkpoints and two outputs take more operations than that"
    assert process.exitcode == 0
