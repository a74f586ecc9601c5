"""Published weights: read into a run's method instead of training it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.methods.base import Method


def load_published(method: Method, path: Path) -> str:
    """Load published weights with the method's ``load_official``; returns their :func:`digest`.

    Raises:
        UserError: unreadable, or refused by the method.
    """
    try:
        method.load_official(path)
        return digest(path)
    except OSError as error:
        raise UserError(f"{path}: cannot read ({error.strerror}); check its permissions") from error


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, what ``sha256sum * | sha256sum`` prints inside it."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    lines = "".join(f"{sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()
