"""Files that a command is asked to write: looked at before the work, not after it."""

from __future__ import annotations

from pathlib import Path

from dfpg.core.errors import UserError


def new_png(path: Path | None) -> Path | None:
    """Callback of an option that names a picture: the path, where a PNG can be written there.

    Raises:
        UserError: the name does not end in ``.png``, is a folder's, or lies in none.
    """
    if path is None:
        return None
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: name a file that ends in .png")
    if path.is_dir():
        raise UserError(f"{path}: is a folder: name a file")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder")
    return path
