"""Calling DVC: the one of this interpreter's environment, its failures in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dfpg.core.errors import UserError

DVC = (sys.executable, "-m", "dvc")


def environment(**more: str) -> dict[str, str]:
    """Of a child: stages call ``python``, which is this one, also where nothing is activated."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **more}


def dvc(root: Path, *arguments: str) -> str:
    """What a DVC command prints.

    Raises:
        UserError: it failed; the first error that it named.
    """
    result = subprocess.run(
        [*DVC, *arguments],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        said = next((line for line in lines if line.startswith("ERROR: ")), lines[-1])
        raise UserError(f"dvc {arguments[0]}: {said.removeprefix('ERROR: ')}")
    return result.stdout


def status(root: Path) -> dict[str, list[Any]]:
    """What differs from ``dvc.lock``, by stage."""
    found: dict[str, list[Any]] = json.loads(dvc(root, "status", "--json"))
    return found
