"""Cards beside results that a stopped command leaves: what each was made with, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "cards"


def card(facts: Mapping[str, Any]) -> str:
    """Text of the card of a result that was made with these facts, which JSON can hold."""
    text = json.dumps(facts, sort_keys=True)
    return json.dumps({"fingerprint": hashlib.sha256(text.encode()).hexdigest()}) + "\n"


def is_made(folder: Path, name: str, wanted: str) -> bool:
    """Whether the card of a result in a folder is the one that is wanted."""
    try:
        return (folder / FOLDER / f"{name}.json").read_text() == wanted
    except OSError:
        return False
