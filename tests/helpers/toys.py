"""A tiny GAN and its batches: the training loop's tests need nothing larger."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # every optimiser imports it (about 1 s): do it before processes fork
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from dfpg.core.closure import digest
from dfpg.core.config import Config, Frozen
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, Phase, Setting
from dfpg.methods.initialise import freeze
from dfpg.training.ema import use_weights
from dfpg.training.fingerprint import training_code
from dfpg.training.loop import train

RUN = "toy"
SIDE = 8
# What a command of DVC imports where it first needs it: half a second each time.
OF_DVC = (
    *("dvc.cli.parser", "dvc.cachemgr", "dvc.data_cloud", "dvc.lock", "dvc.rwlock", "dvc.scm"),
    *(
        f"dvc.repo.{part}"
        for part in (
            *("artifacts", "brancher", "datasets", "graph", "index", "metrics", "open_repo"),
            *("params", "plots", "pull", "push", "stage", "trie", "worktree"),
        )
    ),
    *(f"dvc_data.index.{part}" for part in ("checkout", "collect", "fetch", "push")),
    *("dvc.utils.strictyaml", "fsspec.implementations.memory", "networkx", "scmrepo.git"),
)


def toy_config(steps: int, run: dict[str, Any] | None = None, **training: Any) -> Config:
    base = resolve_profile("smoke")[0]
    values = {
        "batch_size": 4,
        "precision": "fp32",
        "schedule": Schedule(shape="exponential", factor=0.9, times=6),
        "warmup": 0.0,
        "clip": None,
        "snapshots": [0.25, 1.0],
        "ema": 0.9,
    }
    values |= {"checkpoint_every": 5, "validate_every": 10}
    first = next(iter(base.runs.values()))
    images = steps * training.get("batch_size", values["batch_size"])
    given = {"method": "toy", "images": images, "options": {}}
    given |= {"lr": 1e-2, "lr_discriminator": 3e-3}
    return base.model_copy(
        update={
            "training": base.training.model_copy(update=values | training),
            "runs": {RUN: first.model_copy(update=given | (run or {}))},
            "methods": {"toy": {}},
        }
    )


@dataclass(frozen=True)
class ToyBatch:
    sharp: Tensor
    blurred: Tensor


class ToyBatches:
    def __init__(self, size: int = 4, poison: int = -1) -> None:
        self.size = size
        self.poison = poison  # step whose batch holds a NaN
        self.served: list[int] = []

    def batch(self, step: int) -> ToyBatch:
        self.served.append(step)
        stream = torch.Generator().manual_seed(derive_seed(0, "toy", step))
        sharp = torch.rand(self.size, 3, SIDE, SIDE, generator=stream) * 2 - 1
        blurred = F.avg_pool2d(sharp, 3, 1, 1)
        if step == self.poison:
            blurred[0, 0, 0, 0] = torch.nan
        return ToyBatch(sharp, blurred)


class ToyOptions(Frozen):
    dropout: float = 0.0


class Toy(Method):
    """Generator and discriminator with their own optimisers; dropout uses the global generator."""

    Options = ToyOptions
    multiple = 1

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(
            "toy", ToyOptions(dropout=dropout), Setting(SIDE, 0, None, (), "canonical")
        )
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.networks = {
                "generator": nn.Sequential(
                    nn.Conv2d(3, 4, 3, padding=1),
                    nn.LeakyReLU(0.2),
                    nn.Dropout(dropout),
                    nn.Conv2d(4, 3, 3, padding=1),
                ),
                "discriminator": nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 1, 3)),
            }

    def phases(self, batch: Any) -> Iterator[Phase]:
        generator, discriminator = self.networks.values()
        restored = generator(batch.blurred)
        real, fake = discriminator(batch.sharp), discriminator(restored.detach())
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        yield Phase("discriminator", loss, {})
        pixel = (restored - batch.sharp).abs().mean()
        with freeze(discriminator):
            adversarial = F.softplus(-discriminator(restored)).mean()
        yield Phase.of("generator", {"pixel": (1.0, pixel), "adversarial": (0.1, adversarial)})

    def infer(self, blurred: Tensor) -> Tensor:
        return self.networks["generator"](blurred)


digest(training_code(Toy))  # what every training asks for and remembers: before processes fork


class Linear(Toy):
    """Loss w . 1 with plain SGD: every weight is known in closed form."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(layer.weight)
        self.networks = {"generator": layer}
        self.rates: list[float] = []

    def optimisers(self, lr, _lr_discriminator):
        return {"generator": torch.optim.SGD(self.networks["generator"].parameters(), lr)}

    def phases(self, _batch):
        yield Phase("generator", self.networks["generator"].weight.sum(), {})


def toy_validation(method: Method, weights: Mapping[str, Tensor]) -> dict[str, float]:
    batch = ToyBatches().batch(10**6)
    with use_weights(method.networks["generator"], weights):
        restored = method.restore(batch.blurred)
    errors = [(x - batch.sharp).square().mean() for x in (batch.blurred, restored)]
    return {"validation_gain": float(10 * torch.log10(errors[0] / errors[1]))}


def run_toy(folder: Path, config: Config, **options: Any) -> None:
    torch.set_num_threads(1)
    batches = options.pop("batches", None) or ToyBatches(config.training.batch_size)
    validation = options.pop("validation", toy_validation)
    out, history, cost = (folder / f"toy.{suffix}" for suffix in ("safetensors", "csv", "json"))
    toy, snapshots, scratch = Toy(**options), folder / "snapshots", folder / "scratch"
    train(config, RUN, toy, batches, out, history, cost, snapshots, scratch, validation)


def train_toy(folder: Path, config: Config, **options: Any) -> tuple[bytes, bytes]:
    """Train in ``folder``; returns the bytes of weights and history."""
    run_toy(folder, config, **options)
    return (folder / "toy.safetensors").read_bytes(), (folder / "toy.csv").read_bytes()


def rows(history: bytes) -> list[dict[str, str]]:
    """Rows of a history's CSV."""
    return list(csv.DictReader(io.StringIO(history.decode())))


def child(folder: Path, config: Config, options: dict[str, Any], prepare: Any = None) -> None:
    """Body of a training process: messages go to ``folder/stderr``, exit codes as the CLI's."""
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    if prepare:
        prepare()
    try:
        run_toy(folder, config, **options)
    except UserError as error:
        os.write(2, f"{error}\n".encode())
        sys.exit(getattr(error, "exit_code", 2))


@cache
def forkserver() -> Any:
    """Context whose processes start in milliseconds, because what they import is loaded before.

    Among it are the modules whose functions they are given: these import pytest, half a second.
    """
    context = multiprocessing.get_context("forkserver")
    helpers = [f"helpers.{name}" for name in ("toys", "short_trainings", "commands", "quick_dvc")]
    context.set_forkserver_preload([*helpers, *OF_DVC])
    before = os.environ.get("PYTHONPATH")
    root = Path(__file__).parents[1]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), str(root.parent)])
    try:
        from multiprocessing.forkserver import ensure_running

        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context


def start(folder: Path, config: Config, prepare: Any = None, **options: Any) -> Any:
    process = forkserver().Process(target=child, args=(folder, config, options, prepare))
    process.start()
    return process


def wait_until(true: Callable[[], bool], seconds: float = 600.0) -> None:
    """Wait for what a process does; a loaded machine may take minutes to start one."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.002)


if __name__ == "__main__":
    child(Path(sys.argv[1]), toy_config(int(sys.argv[2]), checkpoint_every=10**9), {})
