"""Stage ``faces``: the user's photographs, framed, split and packed for the other stages."""

from __future__ import annotations

import json
from pathlib import Path

from dfpg.config import Config
from dfpg.errors import UserError
from dfpg.files import write_text

SUMMARY = "summary.json"


def prepare_faces(config: Config, sources: list[str], out: Path) -> None:
    """Prepare every source that the profile uses; the embedded one needs nothing.

    Args:
        config: names each source's folder.
        sources: names under ``faces``.
        out: folder; gets ``summary.json`` and one folder per source.
    """
    if sources:
        raise UserError(f"faces.{sources[0]}: this source is not read yet: use embedded")
    write_text(out / SUMMARY, json.dumps(config.model_dump(include={"faces": set()})) + "\n")
