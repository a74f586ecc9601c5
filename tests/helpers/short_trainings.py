"""Trainings of a few steps of any method, in processes that may be killed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.faces.dataset import FaceSet
from dfpg.methods.li2020 import random_trunk
from dfpg.methods.registry import build_method, needs_prior
from dfpg.training.batch_views import WITH_LABELS, open_view
from dfpg.training.loop import train

STEPS = 8
PRIOR = random_trunk(0)


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
    method = build_method(config, run, PRIOR if needs_prior(config, run) else None)
    view = config.runs[run].view or method.view
    labels = rng.integers(0, 19, pictures.shape[:3], np.uint8) if view in WITH_LABELS else None
    batches = open_view(view, config, run, faces, bank, torch.device("cpu"), labels)
    out, history, cost = (folder / f"run.{suffix}" for suffix in ("safetensors", "csv", "json"))
    train(config, run, method, batches, out, history, cost, folder / "scratch")


def outputs(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "run.safetensors").read_bytes(), (folder / "run.csv").read_bytes()
