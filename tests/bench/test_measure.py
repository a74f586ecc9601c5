from __future__ import annotations

import gc
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from helpers.places import ROOT

from bench import measure
from bench.measure import (
    LEAST_ROUNDS,
    MOST_ROUNDS,
    Replay,
    Timing,
    multiply_accumulates,
    round_robin,
    rounds_within,
)

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when an action moves it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock.now)
    return clock


def test_actions_take_turns_after_two_warm_up_rounds(clock):
    called = []

    def action(name, seconds):
        def call():
            called.append(name)
            clock.now += seconds
            return name * 2

        return call

    timings = round_robin({"a": action("a", 1.0), "b": action("b", 2.0)}, CPU, budget=15.0)
    assert "".join(called) == "ab" * (2 + 5)
    assert timings["a"].seconds == pytest.approx([1.0] * 5)
    assert timings["b"].seconds == pytest.approx([2.0] * 5)
    assert [timing.result for timing in timings.values()] == ["aa", "bb"]


def test_untimed_actions_are_called_once():
    called = []
    timings = round_robin({"a": lambda: called.append(1)}, CPU, budget=1.0, timed=False)
    assert called == [1]
    assert timings["a"].seconds == []


@pytest.mark.parametrize(
    ("budget", "once", "rounds"),
    [(4.0, 100.0, LEAST_ROUNDS), (4.0, 0.8, 5), (4.0, 1e-6, MOST_ROUNDS)],
)
def test_rounds_fit_the_budget_within_limits(budget, once, rounds):
    assert rounds_within(budget, once) == rounds


def test_the_garbage_collector_rests_while_the_clock_runs():
    states = []
    assert gc.isenabled()
    round_robin({"a": lambda: states.append(gc.isenabled())}, CPU, budget=0.0)
    assert states == [True] + [False] * (1 + LEAST_ROUNDS)
    assert gc.isenabled()


def test_multiply_accumulates_of_convolution_and_product():
    image, weight = torch.zeros(2, 3, 8, 8), torch.zeros(5, 3, 3, 3)
    convolution = lambda: torch.conv2d(image, weight, padding=1)  # noqa: E731
    assert multiply_accumulates(convolution) == 2 * 5 * 3 * 3 * 3 * 8 * 8
    assert multiply_accumulates(lambda: torch.zeros(4, 5) @ torch.zeros(5, 6)) == 4 * 5 * 6


PEAKS = """
import torch
from bench.measure import peak_memory, reset_peak_memory
cpu = torch.device("cpu")
reset_peak_memory(cpu)
before = peak_memory(cpu)
block = torch.ones(200_000_000, dtype=torch.uint8)
del block
with_block = peak_memory(cpu) - before
reset_peak_memory(cpu)
print(with_block, peak_memory(cpu) - before)
"""


@pytest.mark.skipif(not measure.CLEAR.exists(), reason="only Linux tells a process its peak memory")
def test_peak_memory_is_of_the_time_since_the_reset():
    """In a process of its own: other tests' memory comes and goes beside it."""
    command = [sys.executable, "-c", PEAKS]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with_block, after = map(int, result.stdout.split())
    assert with_block > 100_000_000
    assert after < 100_000_000


def test_replayed_rounds_last_as_long_as_the_measured_ones():
    clock, durations = Replay(), []

    class Benchmark:
        def pedantic(self, target, rounds, warmup_rounds):
            assert warmup_rounds == 0
            for _ in range(rounds):
                start = clock()
                target()
                durations.append(clock() - start)

    clock.play(Benchmark(), Timing(None, [0.5, 0.25, 2.0]))
    clock.play(Benchmark(), Timing(None, []))
    assert durations == [0.5, 0.25, 2.0, 0.0]
