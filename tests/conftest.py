"""Fixtures that several test modules share."""

from __future__ import annotations

import os

# Small tensors: one thread is faster, and workers of pytest-xdist share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from dfpg.config import Config
from dfpg.profile import resolve_profile


@pytest.fixture(scope="session")
def config() -> Config:
    """The smoke profile: every size as small as the code allows."""
    return resolve_profile("smoke")[0]
