"""What the stage ``faces`` kept of the user's photographs and what it left out, as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dfpg.core.errors import UserError
from dfpg.core.files import read_json


def summarise_prepared(path: Path) -> str:
    """A few lines per source.

    Args:
        path: ``summary.json`` of :func:`dfpg.data.faces.prepare.prepare_faces`.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        sources = read_json(path)["faces"]
        lines = [line for name, source in sources.items() for line in _lines(name, source)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: no readable summary: run `dfpg faces prepare`") from error
    return "\n".join(lines) or "no photographs: this profile uses the embedded faces"


def _lines(name: str, source: dict[str, Any]) -> list[str]:
    kept = ", ".join(
        f"{split} {count['pictures']} pictures of {count['people']} people"
        for split, count in source["kept"].items()
    )
    lines = [f"{name}: kept {kept}"]
    for split, others in source["alike_to_test_faces_of"].items():
        numbers = ", ".join(f"{count} to those of {other}" for other, count in others.items())
        lines.append(f"  {split}: people left out, by pictures alike to test faces: {numbers}")
    empty = [split for split in ("train", "val") if not source["kept"][split]["people"]]
    if empty:
        lines.append(
            f"  nobody is left in {' and '.join(empty)}: no run can train on this set alone: add "
            f"people, or join it with the embedded faces (source: embedded+{name})"
        )
    for reason, count in source["no_usable_face"].items():
        lines.append(f"  pictures left out: {count}, {reason}")
    return lines
