"""What training a profile's runs would take on this machine, from a few seconds of measurement.

Two runs stand for all: one with a generator alone, one with a discriminator besides. Each is
timed at the profile's own sizes on random images, and every other run of its kind is taken to be
as fast per multiply-accumulate of its generator. That is an estimate: it leaves out the making of
batches, validation, and what a method trains before or beside its generator.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from statistics import median

import torch

from dfpg.config import Config
from dfpg.device import process_group, resolve_precision, set_deterministic
from dfpg.methods.overview import SIDE, cost
from dfpg.methods.registry import build_method
from dfpg.priors.vggface import SHAPES, PriorNetwork
from dfpg.profile import resolve_profile
from dfpg.training.batches import Batch
from dfpg.training.loop import autocast

PROFILES = ("embedded", "research", "paper")  # smoke takes as long as its processes take to start
PLAIN, ADVERSARIAL = "b1", "dfpg_b"  # the runs that are timed
BUDGET_S = 2.0  # per timed run; a single step may take longer
CPU_MACS = 40e9  # generator's per step on a CPU: full batches at full size would take minutes


@dataclass(frozen=True)
class Probe:
    """One timed run: ``steps`` steps of ``images`` images, ``seconds`` per step (median)."""

    run: str
    image_size: int
    images: int
    steps: int
    seconds: float
    gmacs: float  # of the generator, per image

    @property
    def seconds_per_gmac(self) -> float:
        """Of training, per multiply-accumulate of the generator's forward pass."""
        return self.seconds / (self.images * self.gmacs)


@dataclass(frozen=True)
class Forecast:
    """Estimated training time of a profile: all its runs, one after the other."""

    profile: str
    runs: int
    seconds: float
    measured: tuple[Probe, ...]


def forecasts() -> list[Forecast]:
    """One per profile in ``PROFILES``; profiles with equal networks share the measurement."""
    probes: dict[tuple[object, ...], Probe] = {}
    found = []
    for name in PROFILES:
        config, _ = resolve_profile(name)
        chosen = []
        for run in (PLAIN, ADVERSARIAL):
            key = (run, config.image_size, config.training.batch_size, cost(config, run))
            if key not in probes:
                probes[key] = time_run(config, run)
            chosen.append(probes[key])
        found.append(forecast(config, *chosen))
    return found


def forecast(config: Config, plain: Probe, adversarial: Probe) -> Forecast:
    """Scale the two probes to all runs: steps x batch x GMACs; runs with weights are not trained.

    Args:
        config: the profile.
        plain: probe for the runs that train one network.
        adversarial: probe for those that train several.
    """
    trained = [name for name, run in config.runs.items() if run.weights is None]
    seconds = 0.0
    for name in trained:
        probe = adversarial if has_discriminator(config, name) else plain
        images = config.runs[name].steps * config.training.batch_size
        seconds += images * gmacs(config, name) * probe.seconds_per_gmac
    return Forecast(config.profile, len(trained), seconds, (plain, adversarial))


def gmacs(config: Config, run: str) -> float:
    """GMACs of a run's generator on one image of the profile's size."""
    return cost(config, run).macs / 1e9 * (config.image_size / SIDE) ** 2


def has_discriminator(config: Config, run: str) -> bool:
    """Whether training the run takes more networks than the generator."""
    settings = config.runs[run]
    return _networks(settings.method, settings.options.get("variant")) > 1


@cache
def _networks(method: str, variant: str | None) -> int:
    """Networks of a method, at the smallest profile's sizes: how many does not depend on these."""
    config, _ = resolve_profile("smoke")
    run = next(
        name
        for name, settings in config.runs.items()
        if settings.method == method and settings.options.get("variant") == variant
    )
    with torch.device("meta"):
        prior = PriorNetwork({name: torch.empty(shape) for name, shape in SHAPES.items()})
        return len(build_method(config, run, prior).networks)


def time_run(config: Config, run: str, budget: float = BUDGET_S) -> Probe:
    """Train a run on random images for about ``budget`` seconds and take the median step.

    The first step, in which kernels are chosen and memory is allocated, counts only if it is the
    only one. On a CPU the batch is cut so that one step stays below ``CPU_MACS``.
    """
    world = process_group()
    macs = gmacs(config, run)
    images = config.training.batch_size
    if world.device.type == "cpu":
        images = max(1, min(images, int(CPU_MACS / 1e9 / macs)))
    set_deterministic()
    prior = PriorNetwork(dict(_random_trunk()))
    method = build_method(config, run, prior).to(world.device).train()
    settings = config.runs[run]
    optimisers = method.optimisers(settings.lr, settings.lr_discriminator)
    precision = resolve_precision(config.training.precision, world.device)
    batch = _random_batch(images, config.image_size, world.device)
    times: list[float] = []
    started = time.perf_counter()
    while not times or time.perf_counter() - started < budget:
        before = time.perf_counter()
        for phase in autocast(method.phases(batch), world, precision):
            optimisers[phase.optimiser].zero_grad(set_to_none=True)
            phase.loss.backward()  # type: ignore[no-untyped-call]
            optimisers[phase.optimiser].step()
            phase.loss.item()  # waits for the device
        times.append(time.perf_counter() - before)
    steady = times[1:] or times
    return Probe(run, config.image_size, images, len(steady), median(steady), macs)


def _random_trunk() -> Iterator[tuple[str, torch.Tensor]]:
    """VGG-16 with random weights, as fast as the true one; it needs no asset."""
    for name, shape in SHAPES.items():
        weight = torch.zeros(shape)
        yield name, torch.nn.init.kaiming_normal_(weight) if len(shape) > 1 else weight


def _random_batch(images: int, side: int, device: torch.device) -> Batch:
    sharp = torch.rand(images, 3, side, side, device=device) * 2 - 1
    zeros = torch.zeros(images, dtype=torch.int64, device=device)
    return Batch(sharp, sharp * 0.9, torch.zeros(images, 1, 1, device=device), zeros, zeros)
