"""SIGKILL at any moment of any method's training: the same bytes as without it."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.counts import count
from helpers.toys import forkserver

from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.kernels import build_kernels, load_kernels
from dfpg.data.faces.dataset import FaceSet
from dfpg.methods.li2020 import random_trunk
from dfpg.methods.registry import build_method, needs_prior
from dfpg.training.batch_views import WITH_LABELS, open_view
from dfpg.training.loop import train

STEPS = 8
KILLS = 1000  # over all methods


def methods() -> dict[str, str]:
    """A run of every method."""
    config = resolve_profile("smoke")[0]
    return {run.method: name for name, run in config.runs.items()}


def short(run: str) -> Config:
    """The smoke profile with few steps, a checkpoint after every one."""
    config = resolve_profile("smoke")[0]
    training = {"checkpoint_every": 1, "validate_every": 4, "precision": "fp32", "ema": 0.9}
    runs = {run: config.runs[run].model_copy(update={"steps": STEPS})}
    return config.model_copy(
        update={"training": config.training.model_copy(update=training), "runs": runs}
    )


def train_run(folder: Path, run: str, kernels: Path) -> None:
    """Train on noise in place of faces: what the pictures show does not matter here."""
    torch.set_num_threads(1)
    config = short(run)
    protocol = config.protocols[config.runs[run].protocol]
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (16, 40, 40, 3), np.uint8)
    people = tuple(f"p{number // 2}" for number in range(16))
    names = tuple(f"{number}.jpg" for number in range(16))
    faces = FaceSet(pictures, people, names, np.zeros((16, 5, 2), np.float32))
    bank = load_kernels(kernels / f"{protocol.kernels}.safetensors")
    method = build_method(config, run, random_trunk(0) if needs_prior(config, run) else None)
    view = config.runs[run].view or method.view
    labels = rng.integers(0, 19, pictures.shape[:3], np.uint8) if view in WITH_LABELS else None
    batches = open_view(view, config, run, faces, bank, torch.device("cpu"), labels)
    out, history, cost = (folder / f"run.{suffix}" for suffix in ("safetensors", "csv", "json"))
    train(config, run, method, batches, out, history, cost, folder / "scratch")


def outputs(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "run.safetensors").read_bytes(), (folder / "run.csv").read_bytes()


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernels")
    build_kernels(resolve_profile("smoke")[0], folder)
    return folder


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
