"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from collections.abc import Callable

# Small tensors: one thread is faster, and workers of pytest-xdist share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same global random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def config() -> Config:
    """The smoke profile: every size as small as the code allows."""
    return resolve_profile("smoke")[0]


@pytest.fixture
def set_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the CPU has: bf16 at all, and tiles or vectors that multiply it."""

    def set_cpu(bf16: bool, amx: bool, avx512_bf16: bool = False) -> None:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)

    return set_cpu
