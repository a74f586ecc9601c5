from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from bench import peak
from bench.peak import ROUNDS, convolution_arithmetic, matmul_peak

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Every product takes a second more than the one before, the first (warm-up) none."""
    clock = SimpleNamespace(now=0.0, dtypes=[], tf32=[])
    matmul_peak.cache_clear()

    def mm(a, b):
        clock.now += len(clock.dtypes)
        clock.dtypes.append((a.dtype, b.dtype))
        clock.tf32.append(torch.backends.cuda.matmul.allow_tf32)

    monkeypatch.setattr(peak.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(peak.torch, "mm", mm)
    monkeypatch.setattr(peak, "SIDES", {"cpu": 16})
    yield clock
    matmul_peak.cache_clear()


def test_peak_is_that_of_the_fastest_product_after_the_warm_up(clock):
    assert matmul_peak(CPU, "bf16") == 2 * 16**3 / 1.0
    assert clock.dtypes == [(torch.bfloat16, torch.bfloat16)] * (ROUNDS + 1)


def test_peak_is_measured_once(clock):
    assert matmul_peak(CPU, "fp32") == matmul_peak(CPU, "fp32")
    assert len(clock.dtypes) == ROUNDS + 1


@pytest.mark.parametrize(("arithmetic", "tf32"), [("fp32", False), ("tf32", True)])
def test_tf32_is_used_where_it_is_meant_and_put_back(clock, arithmetic, tf32):
    before = torch.backends.cuda.matmul.allow_tf32
    matmul_peak(CPU, arithmetic)
    assert set(clock.tf32) == {tf32}
    assert torch.backends.cuda.matmul.allow_tf32 == before


@pytest.mark.parametrize(
    ("device", "allowed", "arithmetic"),
    [("cpu", True, "fp32"), ("cuda", True, "tf32"), ("cuda", False, "fp32")],
)
def test_arithmetic_of_float32_convolutions(monkeypatch, device, allowed, arithmetic):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    assert convolution_arithmetic(torch.device(device)) == arithmetic


def test_a_real_product_is_faster_than_a_megaflop():
    matmul_peak.cache_clear()
    assert matmul_peak(CPU, "fp32") > 1e6
