"""What the profiles would cost on this machine: recorded times, scaled by what is measured here.

``recorded.csv`` says what every training of an earlier record took, and every step of the networks
at full size, all in one thread; its first lines say on which machines. A few runs (``PROBES``) are
trained here for a moment, on random images; how much slower than in the record they are says how
much slower the others will be. Probes of one profile differ: one is all convolutions, another all
small operations. The range that they span, widened by ``UNCERTAINTY``, is that of the estimate.

On a CPU the clock is the process's own, of one thread, so that other work on the machine does not
count: ``make repro`` gives every run one thread, and trains as many side by side as there are
cores. Scoring, the other stages, and the whole smoke profile scale with the time that a fresh
interpreter takes to import the suite.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from statistics import fmean, geometric_mean

import torch

from dfpg.core.config import Config
from dfpg.core.device import process_group, resolve_precision, set_deterministic
from dfpg.core.profile import resolve_profile
from dfpg.methods.batch import Batch
from dfpg.methods.registry import build_method
from dfpg.pretrained.vggface import SHAPES, PriorNetwork
from dfpg.training.step import training_step

# Profile -> part of the record that its networks are in, and the runs that are timed for it.
RECORDED = {"smoke": "smoke", "embedded": "embedded", "research": "full", "paper": "full"}
PROBES: dict[str, tuple[str, ...]] = {
    "smoke": (),
    "embedded": ("b2", "nafnet", "dfpg_b"),
    "full": ("zhang2019_b", "nafnet"),
}
UNCERTAINTY = {"smoke": 1.5, "embedded": 1.25, "full": 1.5}
BUDGET_S = 1.2  # per timed run; a single step may take longer
IMPORTED = (  # by a fresh interpreter
    "dfpg.evaluation.score, dfpg.methods.registry, dfpg.analysis.estimates"
)


@dataclass(frozen=True)
class RecordedTime:
    """What one part of the pipeline took on the recording machine.

    ``images`` is 0 where ``seconds`` are not those of a training.
    """

    images: int
    seconds: float


@dataclass(frozen=True)
class Probe:
    """One timed run: the fastest of ``steps`` steps of ``images`` images took ``seconds``.

    ``slowdown`` is that as a multiple of the recorded time per image.
    """

    run: str
    image_size: int
    images: int
    steps: int
    seconds: float
    slowdown: float


@dataclass(frozen=True)
class Forecast:
    """Estimated cost of a profile.

    Attributes:
        profile: its name.
        low, high: s; the range of the estimate.
        jobs: runs side by side.
        trainings: run -> s, the middle of the range.
        whole: whether ``low`` and ``high`` are of the whole pipeline, or of the trainings alone.
        measured: what was timed for it.
    """

    profile: str
    low: float
    high: float
    jobs: int
    trainings: dict[str, float]
    whole: bool
    measured: tuple[Probe, ...]


def forecast_profiles() -> list[Forecast]:
    """One per profile, smoke first; profiles with equal networks share the measurement."""
    record = read_recorded_times()
    start = time_start() / record["smoke", "start"].seconds
    jobs = (os.cpu_count() or 1) if process_group().device.type == "cpu" else 1
    probes: dict[str, list[Probe]] = {}
    found = []
    for profile, part in RECORDED.items():
        config, _ = resolve_profile(profile)
        if part not in probes:
            probes[part] = [time_run(config, run, record[part, run]) for run in PROBES[part]]
        found.append(forecast_profile(config, record, probes[part], start, jobs))
    return found


def read_recorded_times() -> dict[tuple[str, str], RecordedTime]:
    """The record by profile (or ``full``) and run, or other part."""
    text = files("dfpg.commands.doctor").joinpath("recorded.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        (row["profile"], row["part"]): RecordedTime(int(row["images"]), float(row["seconds"]))
        for row in rows
    }


def forecast_profile(
    config: Config,
    record: Mapping[tuple[str, str], RecordedTime],
    probes: Sequence[Probe],
    start: float,
    jobs: int,
) -> Forecast:
    """Scale the record of a profile's trainings, and of its other stages where there is one.

    Runs with published weights are not trained. A run that is not in the record counts like the
    mean of those that are.

    Args:
        config: the profile.
        record: see :func:`read_recorded_times`.
        probes: of this profile's networks.
        start: time of starting an interpreter, as a multiple of the recorded one.
        jobs: runs side by side.
    """
    part = RECORDED[config.profile]
    per_image = {
        run: found.seconds / found.images
        for (profile, run), found in record.items()
        if profile == part and found.images
    }
    mean = fmean(per_image.values()) if per_image else 0.0
    recorded = {
        name: per_image.get(name, mean) * run.images
        for name, run in config.runs.items()
        if run.weights is None
    }
    others = {
        name: record.get((part, name), RecordedTime(0, 0.0)).seconds for name in ("score", "rest")
    }

    def total(slowdown: float) -> float:
        runs = [
            recorded.get(name, 0.0) * slowdown + others["score"] * start for name in config.runs
        ]
        return max(sum(runs) / jobs, max(runs)) + others["rest"] * start

    slowdowns = [probe.slowdown for probe in probes] or [1.0]
    middle = geometric_mean(slowdowns)
    trainings = {name: s * middle for name, s in recorded.items()} if per_image else {}
    return Forecast(
        profile=config.profile,
        low=total(min(slowdowns)) / UNCERTAINTY[part],
        high=total(max(slowdowns)) * UNCERTAINTY[part],
        jobs=jobs,
        trainings=trainings,
        whole=(part, "rest") in record,
        measured=tuple(probes),
    )


def forecast_trainings(
    config: Config, runs: Sequence[str], jobs: int
) -> tuple[float, float] | None:
    """Range of what some trainings take here, in s; None for a profile that nobody has timed.

    Trains for some seconds to see how fast this machine is.

    Args:
        config: the profile.
        runs: keys of ``runs``.
        jobs: trainings side by side.
    """
    part = RECORDED.get(config.profile)
    if part is None:
        return None
    record = read_recorded_times()
    probes = [time_run(config, run, record[part, run]) for run in PROBES[part]]
    trainings = forecast_profile(config, record, probes, 1.0, jobs).trainings
    times = [trainings[run] for run in runs if run in trainings]
    if not times:
        return None
    slowdowns = [probe.slowdown for probe in probes] or [1.0]
    idle = max(sum(times) / jobs, max(times)) / geometric_mean(slowdowns)
    return idle * min(slowdowns) / UNCERTAINTY[part], idle * max(slowdowns) * UNCERTAINTY[part]


def time_start() -> float:
    """CPU seconds that a fresh interpreter takes to import what a stage needs."""
    before = os.times()
    subprocess.run([sys.executable, "-c", f"import {IMPORTED}"], check=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])  # the children's, in user and system mode


def time_run(config: Config, run: str, recorded: RecordedTime, budget: float = BUDGET_S) -> Probe:
    """Train a run on random images for about ``budget`` seconds and take the fastest step.

    The fastest, because what else the machine does can only add to a step, and the first step also
    chooses kernels and allocates memory. On a CPU the clock is the processor's, of one thread, and
    a full-size step has one image.

    Args:
        config: the profile.
        run: one whose method takes plain batches.
        recorded: what it took on the recording machine.
        budget: s.
    """
    world = process_group()
    on_cpu = world.device.type == "cpu"
    images = 1 if on_cpu and RECORDED[config.profile] == "full" else config.training.batch_size
    clock = time.process_time if on_cpu else time.perf_counter
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    set_deterministic()
    prior = PriorNetwork(dict(_random_trunk()))
    method = build_method(config, run, prior).to(world.device).train()
    settings = config.runs[run]
    optimisers = method.optimisers(settings.lr, settings.lr_discriminator)
    precision = resolve_precision(config.training.precision, world.device)
    batch = _random_batch(images, config.image_size, world.device)
    times: list[float] = []
    started = clock()
    while not times or clock() - started < budget:
        before = clock()
        training_step(method, batch, optimisers, world, precision)  # waits for the device
        times.append(clock() - before)
    torch.set_num_threads(threads)
    slowdown = min(times) / images / (recorded.seconds / recorded.images)
    return Probe(run, config.image_size, images, len(times), min(times), slowdown)


def _random_trunk() -> Iterator[tuple[str, torch.Tensor]]:
    """VGG-16 with random weights, as fast as the true one; it needs no asset."""
    for name, shape in SHAPES.items():
        weight = torch.zeros(shape)
        yield name, torch.nn.init.kaiming_normal_(weight) if len(shape) > 1 else weight


def _random_batch(images: int, side: int, device: torch.device) -> Batch:
    sharp = torch.rand(images, 3, side, side, device=device) * 2 - 1
    zeros = torch.zeros(images, dtype=torch.int64, device=device)
    return Batch(sharp, sharp * 0.9, torch.zeros(images, 1, 1, device=device), zeros, zeros)
