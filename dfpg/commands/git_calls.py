"""Calling git, its failures in one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dfpg.core.errors import UserError


def git(root: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        UserError: it failed, and what it said.
    """
    result = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise UserError(f"git {arguments[0]}: {result.stderr.strip() or 'failed'}")
    return result.stdout.strip()
