"""SIGKILL at any moment of any method's training: the same bytes as without it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from helpers.counts import count
from helpers.kernels import kernels_folder
from helpers.short_trainings import outputs, train_run
from helpers.toys import forkserver

from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile

KILLS = 1000  # over all methods


def methods() -> dict[str, str]:
    """A run of every method."""
    config = resolve_profile("smoke")[0]
    return {run.method: name for name, run in config.runs.items()}


@pytest.fixture(scope="module")
def kernels(config: Config) -> Path:
    return kernels_folder(config)


def start(folder: Path, run: str, kernels: Path):
    folder.mkdir(parents=True, exist_ok=True)
    process = forkserver().Process(target=train_run, args=(folder, run, kernels))
    process.start()
    return process


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(methods()))
def test_a_killed_training_of_any_method_ends_with_the_same_bytes(
    method: str, tmp_path: Path, kernels: Path
) -> None:
    run = methods()[method]
    kills = -(-KILLS // len(methods()))
    began = time.monotonic()
    whole = start(tmp_path / "whole", run, kernels)
    whole.join()
    length = time.monotonic() - began
    assert whole.exitcode == 0
    expected = outputs(tmp_path / "whole")
    moments = random.Random(method)
    done = number = finished = resumed = 0
    while done < kills or not finished:
        here = tmp_path / str(number)
        process = start(here, run, kernels)
        if done < kills:
            process.join(moments.uniform(0, length))
            process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            done += 1
            resumed += any(here.glob("scratch/checkpoint-*"))
            continue
        assert process.exitcode == 0
        assert outputs(here) == expected
        number, finished = number + 1, finished + 1
    count(f"kills ({method})", done, f"{resumed} after a checkpoint, {finished} ends, 0 lost")
    assert resumed > 0
