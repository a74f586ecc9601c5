"""The suite's own work: evaluation end to end, checkpoints, commands, nothing to reproduce."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.facts import ROOT
from bench.inputs import blurred_faces, prior_network, profile, sharp_faces, untrained_method
from bench.measure import Timing
from dfpg.data.testsets import TestSet
from dfpg.evaluation.score import score_testsets
from dfpg.methods.names import method_names
from dfpg.metrics.bands import score_in_bands
from dfpg.metrics.common import Metric
from dfpg.metrics.registry import build_metric, build_metrics
from dfpg.metrics.remembered import cache_features
from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint

IMAGES = 32  # of the test set that is evaluated: one batch
FACES = 4  # their sharp faces
MANY_FACES = 20  # of so many images as the embedded profile's test set of protocol B has
ON_CPU = (("embedded", 64),)
LARGE = 512  # px, side of an image that no batch takes
RESCORING = 12.0  # seconds of timed rounds
EVERYWHERE = (*ON_CPU, ("paper", 128))


def small_testset(size: int, faces: int = FACES) -> TestSet:
    """``IMAGES`` blurred images of so many faces."""
    sharp, blurred = (f(size).permute(0, 2, 3, 1).numpy() for f in (sharp_faces, blurred_faces))
    keys = ["image", "subset", "mode", "person", "face", "sharp", "kernel", "size"]
    rows = [
        (image, "celeba", "center", f"p{face}", f"p{face}.png", face, image, 13)
        for image in range(IMAGES)
        for face in [image % faces]
    ]
    index = pd.DataFrame(rows, columns=keys)
    return TestSet(sharp[:faces], blurred[index["sharp"].to_numpy()], index)


@pytest.mark.parametrize(("name", "size"), EVERYWHERE)
def test_evaluation(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    tmp_path: Path,
    name: str,
    size: int,
) -> None:
    if device.type == "cpu" and (name, size) not in ON_CPU:
        pytest.skip("full width at 128 px: test_metrics.py has its parts")
    config = profile(name, size)
    restore = untrained_method(config, "dfpgnet").to(device).train(False).restore
    metrics = build_metrics(config, prior_network(device), device)
    sets, out = {"b": small_testset(size)}, tmp_path / "dfpg_b.csv"
    timing = in_turn(
        f"evaluation {name}",
        lambda: {
            "evaluate": lambda: score_testsets(
                config, "dfpg_b", restore, sets, metrics, out, str(device)
            )
        },
    )["evaluate"]
    scores = pd.read_csv(out)
    assert len(scores) == IMAGES
    assert scores[list(metrics)].notna().all(axis=None)
    record(timing, subject=f"dfpgnet_{name}", image_size=size, batch=IMAGES)


@pytest.mark.parametrize("variant", ["first", "further"])
def test_rescoring(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    tmp_path: Path,
    variant: str,
) -> None:
    """The first run of a rescoring computes the sharp faces' features, the further ones have them.

    ``dfpg evaluate`` scores one run, as the first.
    """
    config = profile("embedded", 64)
    restore = untrained_method(config, "dfpgnet").to(device).train(False).restore
    own = build_metrics(config, prior_network(device), device)
    kept, sets = cache_features(own), {"b": small_testset(64, MANY_FACES)}

    def score_into(metrics: Mapping[str, Metric], out: Path) -> str:
        score_testsets(config, "dfpg_b", restore, sets, metrics, out, str(device))
        return out.read_text(encoding="utf-8")

    timings = in_turn(
        "rescoring",
        lambda: {
            "first": lambda: score_into(own, tmp_path / "first.csv"),
            "further": lambda: score_into(kept, tmp_path / "further.csv"),
        },
        RESCORING,
    )
    assert timings["first"].result == timings["further"].result
    record(timings[variant], subject=f"run {variant}", image_size=64, batch=IMAGES)


@pytest.mark.parametrize("variant", ["whole", "bands"])
def test_large_image(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    variant: str,
) -> None:
    metric = build_metric("lpips_vgg", device)
    sharp, blurred = (f(LARGE)[:1].to(device) for f in (sharp_faces, blurred_faces))
    timings = in_turn(
        "large image",
        lambda: {
            "bands": lambda: score_in_bands(metric, blurred, sharp).item(),
            "whole": lambda: metric.score(blurred, metric.features(sharp)).item(),
        },
    )
    assert timings["bands"].result == pytest.approx(timings["whole"].result, rel=1e-5)
    record(timings[variant], subject="lpips_vgg", variant=variant, image_size=LARGE, batch=1)


@pytest.mark.parametrize("name", ["embedded", "paper"])
def test_checkpoint_write(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    tmp_path: Path,
    name: str,
) -> None:
    method = untrained_method(profile(name, 64), "dfpgnet", prior_network(device)).to(device)
    optimisers = method.optimisers(1e-4, 1e-5)
    for network in method.networks.values():
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
    for optimiser in optimisers.values():
        optimiser.step()
    state, steps = TrainingState(method.networks, optimisers, {}), count(1)

    def write() -> None:
        state.step = next(steps)
        save_checkpoint(tmp_path, state)

    timing = in_turn(f"checkpoint {name}", lambda: {"write": write})["write"]
    written = state.step
    state.step = 0
    load_checkpoint(tmp_path, state)
    assert state.step == written
    size = max(path.stat().st_size for path in tmp_path.glob("checkpoint-*"))
    record(timing, subject=f"dfpgnet_{name}", variant=f"{size / 1e6:.0f} MB")


def command(*arguments: str) -> Callable[[], str]:
    """A call of a command in the project's root; returns what it printed."""

    def call() -> str:
        done = subprocess.run(arguments, cwd=ROOT, check=True, capture_output=True, text=True)
        return done.stdout

    return call


def test_cli_start(record: Callable[..., None], in_turn: Callable[..., dict[str, Timing]]) -> None:
    python = [sys.executable, "-m", "dfpg"]
    timing = in_turn("cli", lambda: {"help": command(*python, "--help")})["help"]
    assert "evaluate" in timing.result
    record(timing, subject="dfpg --help")


def test_cli_torch_start(
    record: Callable[..., None], in_turn: Callable[..., dict[str, Timing]]
) -> None:
    python = [sys.executable, "-m", "dfpg"]
    timing = in_turn("cli torch", lambda: {"methods": command(*python, "methods")})["methods"]
    assert all(f"| {name} |" in timing.result for name in method_names())
    record(timing, subject="dfpg methods")


def test_repro_with_nothing_to_do(
    record: Callable[..., None], in_turn: Callable[..., dict[str, Timing]]
) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    changed = json.loads(command(*dvc, "status", "--json")())
    if changed:
        pytest.skip(f"{len(changed)} stages are not up to date: run `make repro` first")
    timing = in_turn("repro", lambda: {"repro": command(*dvc, "repro")})["repro"]
    assert "Data and pipelines are up to date" in timing.result
    record(timing, subject="dvc repro")
