"""Times calls round robin: A B C, A B C, ..., so that all of them see the same machine."""

from __future__ import annotations

import gc
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Action = Callable[[], Any]

LEAST_ROUNDS, MOST_ROUNDS = 3, 10
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


@dataclass
class Timing:
    """One action's times.

    Attributes:
        result: of its warm-up call.
        seconds: of every timed round, in order.
        peak_bytes: memory at most in use in the warm-up call; None where it cannot be told.
        load: load average of the last minute when its group began; None where there is none.
    """

    result: Any
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None
    load: float | None = None


def synchronise(device: torch.device) -> None:
    """Wait until ``device`` has done what it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def round_robin(
    actions: Mapping[str, Action], device: torch.device, budget: float, timed: bool = True
) -> dict[str, Timing]:
    """Call every action once to warm up, then all of them in turn, round after round.

    The number of rounds, between ``LEAST_ROUNDS`` and ``MOST_ROUNDS``, follows from ``budget`` and
    the second warm-up calls.

    Args:
        actions: by name; what they return is kept for the warm-up call only.
        device: is synchronised before every reading of the clock.
        budget: seconds that all timed rounds together should take.
        timed: whether to time at all; otherwise there is the first call and nothing else.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    timings: dict[str, Timing] = {}
    for name, action in actions.items():
        reset_peak_memory(device)
        result = action()
        synchronise(device)
        timings[name] = Timing(result, peak_bytes=peak_memory(device), load=load)
    if not timed:
        return timings
    once = sum(_seconds(action, device) for action in actions.values())
    for _ in range(rounds_within(budget, once)):
        for name, action in actions.items():
            timings[name].seconds.append(_seconds(action, device))
    return timings


def rounds_within(budget: float, once: float) -> int:
    """Rounds of ``once`` seconds that fit ``budget`` seconds, within the limits."""
    return min(MOST_ROUNDS, max(LEAST_ROUNDS, int(budget / once)))


def _seconds(action: Action, device: torch.device) -> float:
    """Of one call, without the garbage collector."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        synchronise(device)
        start = time.perf_counter()
        action()
        synchronise(device)
        return time.perf_counter() - start
    finally:
        if collecting:
            gc.enable()


def multiply_accumulates(action: Action) -> int:
    """Multiply-accumulates of the convolutions and matrix products of one call."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops() // 2


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new :func:`peak_memory`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif CLEAR.exists():
        CLEAR.write_text("5")  # Linux: the peak is from now on that from now on


def peak_memory(device: torch.device) -> int | None:
    """Bytes at most in use since the reset: PyTorch's on CUDA, else the whole process (Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not STATUS.exists():
        return None
    found = re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


class Replay:
    """A clock that stands still while nothing is played: pytest-benchmark's timer here.

    pytest-benchmark times one function after the other, never in turn. So rounds are timed by
    :func:`round_robin`, and each test plays its own times to ``benchmark.pedantic``, whose timer
    is this clock: every round then lasts as long as the measured one.
    """

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self._now

    def play(self, benchmark: Any, timing: Timing) -> None:
        """Give ``benchmark``, whose timer this is, the rounds of ``timing``."""
        seconds = iter(timing.seconds)

        def advance() -> None:
            self._now += next(seconds, 0.0)

        benchmark.pedantic(advance, rounds=max(1, len(timing.seconds)), warmup_rounds=0)


CLOCK = Replay()
