"""Fixtures that several test modules share."""

from __future__ import annotations

import pytest

from dfpg.config import Config
from dfpg.profile import resolve_profile


@pytest.fixture(scope="session")
def config() -> Config:
    """The smoke profile: every size as small as the code allows."""
    return resolve_profile("smoke")[0]
