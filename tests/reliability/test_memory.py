"""Photographs that need more memory than there is: one line each, and the others are restored."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import psutil
import pytest
from helpers.commands import run_commands
from helpers.counts import count
from PIL import Image

SPARE = 600_000_000  # bytes that a process may have beside what it has


def little_memory() -> None:
    """Let this process have little more memory than it has."""
    limit = psutil.Process().memory_info().vms + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# At 64 million pixels the memory does not suffice to read it, at 25 million not to restore it.
TOO_LARGE = {"b": (8000, 7990), "c": (5000, 5000)}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit binds on Linux alone")
def test_a_folder_with_huge_photographs_is_restored_but_for_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, size in {"a": (64, 64), **TOO_LARGE, "d": (64, 64)}.items():
        Image.new("RGB", size, "grey").save(tmp_path / "in" / f"{name}.png", compress_level=1)
    command = ["deblur", "in", "out", "--aligned"]
    (said,) = run_commands(tmp_path, [command], tmp_path / "log", little_memory)
    assert said.code == 1, said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "d.png"]
    for name in TOO_LARGE:
        (line,) = [one for one in said.error.splitlines() if f"{name}.png" in one]
        assert line.startswith(f"in/{name}.png: not enough memory")
    assert "2 of 4 photographs restored" in said.output
    assert "2 could not be read or written, see above" in said.output
    count("photographs beyond the memory", len(TOO_LARGE), "0 tracebacks, the others restored")
