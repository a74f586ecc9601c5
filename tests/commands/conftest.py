from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.quick_dvc import quick_dvc


@pytest.fixture(scope="module")
def forked_dvc() -> Iterator[None]:
    """DVC is forked, not started, in a module whose tests use this."""
    with quick_dvc():
        yield
