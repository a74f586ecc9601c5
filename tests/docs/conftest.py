"""The built documentation site, which several test modules look at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.places import ROOT

Build = Callable[[Path, Path], "subprocess.CompletedProcess[str]"]


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    # With --quiet warnings are not even counted, and --strict is without effect.
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )


@pytest.fixture(scope="session")
def build_site() -> Build:
    """Builds the site of a folder as `make docs` does."""
    return build


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT, folder)
    assert result.returncode == 0, result.stderr
    return folder
