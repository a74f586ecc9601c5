"""Clones of this repository that commands run in, as a user runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helpers.places import ROOT

from dfpg.pretrained.assets.store import FOLDER

NOTHING_S = 8.0  # s of a core; wanted: five, and DVC alone takes 3 to 5.5, by machine and load


def attempt(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a clone, with this environment's programs and this project's assets."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment()
    )


def run(folder: Path, *command: str) -> str:
    """What a command prints that has to succeed."""
    result = attempt(folder, *command)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def dfpg(folder: Path, *arguments: str) -> str:
    return run(folder, sys.executable, "-m", "dfpg", *arguments)


def environment() -> dict[str, str]:
    binaries = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "DFPG_ASSETS": str(ROOT / FOLDER),
    }


def clone_of(source: Path, folder: Path) -> Path:
    """A clone whose commits have an author."""
    subprocess.run(["git", "clone", "-q", str(source), str(folder)], check=True)
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        run(folder, "git", "config", key, value)
    return folder


def executed(output: str) -> set[str]:
    """Names of the stages that `dvc repro` ran, or would run."""
    return {
        line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")
    }


def time_nothing(folder: Path) -> float:
    """Seconds of a core that `dvc repro` takes where nothing is to do: the least of three.

    Time on the processor, since the clock also counts what else runs on the machine.
    """
    took = []
    for _ in range(3):
        before = os.times()
        assert executed(run(folder, "dvc", "repro")) == set()
        after = os.times()
        took.append(sum(after[2:4]) - sum(before[2:4]))  # the children's, in user and system mode
    return min(took)


def changes(folder: Path) -> str:
    """What git sees changed."""
    return run(folder, "git", "status", "--porcelain")
