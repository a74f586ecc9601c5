"""Figures that the reliability tests print: how often something was tried, and what came of it."""

from __future__ import annotations

import os
from pathlib import Path

REPORT = "DFPG_COUNTS"  # names the file that `make test-slow` prints at its end


def count(what: str, number: int, outcome: str) -> None:
    """Print a figure, and keep it for the end of `make test-slow`."""
    line = f"{number} {what}: {outcome}"
    print(line)
    if os.environ.get(REPORT):
        with Path(os.environ[REPORT]).open("a") as file:
            file.write(f"{line}\n")
