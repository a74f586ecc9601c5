from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.clones import changes, clone_of, dfpg
from helpers.places import ROOT


@pytest.fixture(scope="session")
def tree_before() -> str:
    """What git sees changed in the tree that is cloned, before anything runs."""
    return changes(ROOT)


@pytest.fixture(scope="session")
def clone(tmp_path_factory, tree_before) -> Iterator[Path]:  # noqa: ARG001 (taken before the run)
    """A clone in which the graph has run once with the smoke profile."""
    folder = clone_of(ROOT, tmp_path_factory.mktemp("smoke") / "clone")
    dfpg(folder, "fetch")
    dfpg(folder, "profile", "use", "smoke")
    start = time.monotonic()
    dfpg(folder, "graph")
    print(f"\nsmoke: the graph took {time.monotonic() - start:.0f} s")
    yield folder
    shutil.rmtree(folder)
