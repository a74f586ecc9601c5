"""Shared by the benchmarks: the device, groups timed in turn, what is recorded beside a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from bench.facts import figures, provenance
from bench.measure import CLOCK, Action, Timing, round_robin
from bench.peak import Arithmetic
from dfpg.core.device import select_device

BUDGET = 4.0  # seconds of timed rounds per group


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every benchmark's timer is the clock that replays the rounds timed in turn."""
    for item in items:
        item.add_marker(pytest.mark.benchmark(timer=CLOCK))


@pytest.fixture(scope="session")
def device() -> torch.device:
    return select_device()


@pytest.fixture(scope="session")
def in_turn(
    device: torch.device, request: pytest.FixtureRequest
) -> Callable[..., dict[str, Timing]]:
    """Times the actions of a group in turn, once: the last group's timings are kept."""
    timed = not request.config.getoption("benchmark_disable")
    last: dict[str, dict[str, Timing]] = {}

    def run(
        group: str, build: Callable[[], Mapping[str, Action]], budget: float = BUDGET
    ) -> dict[str, Timing]:
        if group not in last:
            last.clear()
            last[group] = round_robin(build(), device, budget, timed)
        return last[group]

    return run


@pytest.fixture
def record(benchmark: Any, device: torch.device) -> Callable[..., None]:
    """Gives a timing to pytest-benchmark, with all that stands beside it."""

    def run(
        timing: Timing,
        *,
        subject: str,
        variant: str = "",
        image_size: int | None = None,
        batch: int | None = None,
        macs: int | None = None,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        CLOCK.play(benchmark, timing)
        if timing.seconds:  # none with --benchmark-disable
            benchmark.extra_info.update(
                provenance(),
                benchmark=benchmark.name.partition("[")[0].removeprefix("test_"),
                subject=subject,
                variant=variant,
                image_size=image_size,
                batch=batch,
                arithmetic=arithmetic,
                **figures(timing, batch, macs, device, arithmetic),
            )

    return run
