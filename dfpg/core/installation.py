"""Which copy of the package runs, and whether the folder that it runs in holds another one."""

from __future__ import annotations

from pathlib import Path

import dfpg
from dfpg.core.errors import UserError
from dfpg.core.terminal import print_error

PACKAGE = Path(dfpg.__file__).parent


def other_copy(folder: Path = Path()) -> Path | None:
    """The package of the clone in ``folder``, if there is one and it is not the one that runs."""
    here = folder / PACKAGE.name
    if not (here / "cli.py").is_file() or here.samefile(PACKAGE):
        return None
    return here


def warn_of_other_copy() -> None:
    """Say on stderr that this folder holds another copy of the package."""
    if other_copy() is not None:
        print_error(
            f"dfpg: this folder has a dfpg of its own, but the one in {PACKAGE.parent} runs: "
            "`python -m dfpg` takes the folder's"
        )


def refuse_other_copy(path: Path) -> None:
    """Refuse to rewrite a file of a clone whose version of the package is another one.

    Args:
        path: the file; its folder is looked at.

    Raises:
        UserError: see above.
    """
    if other_copy(path.parent) is not None:
        raise UserError(
            f"{path}: not written: its folder has a dfpg of its own, and the one in "
            f"{PACKAGE.parent} runs, which may know other parameters: use `python -m dfpg` there"
        )
