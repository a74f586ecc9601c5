"""Which weights file is meant: the model that ships, a run of the project, or a file."""

from __future__ import annotations

from pathlib import Path

from dfpg.core.errors import UserError
from dfpg.core.paths import ARTIFACTS

SHIPPED = "shipped"


def trained_weights(source: str | Path) -> Path:
    """The weights file that a user names.

    Args:
        source: ``"shipped"`` for the model in the package; the path of a run's weights; or the
            name of a run that was trained in the project in the current folder.

    Raises:
        UserError: there is no such file or run, or the model that ships is damaged.
    """
    from dfpg.commands.deblur.command import weights_file

    if source == SHIPPED:
        return weights_file(None)
    path = Path(source)
    if path.is_file():
        return path
    run = ARTIFACTS / "weights" / f"{source}.safetensors"
    if path.name == str(source) and not path.suffix:
        if run.is_file():
            return run
        raise UserError(
            f'{source}: neither "{SHIPPED}" nor a file, and there is no {run} here: call this in '
            "the project's folder; `dfpg record fetch` brings the recorded runs"
        )
    raise UserError(f"{source}: no such file: give the path of a run's weights, or its name")
