"""Trainings beside those of the tables: whether the one in a folder is the one that is wanted."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from dfpg.core.closure import digest
from dfpg.core.config import Config
from dfpg.core.files import read_json, write_text
from dfpg.methods.registry import method_class
from dfpg.training.fingerprint import training_code

STAMP = "trial.json"


def stamp_trial(config: Config, run: str, folder: Path) -> None:
    """Mark the training in a folder as finished."""
    write_text(folder / STAMP, json.dumps({"sha256": _hash(config, run)}) + "\n")


def is_finished(config: Config, run: str, folder: Path) -> bool:
    """Whether the training in a folder is the one that these parameters and this code make."""
    try:
        return bool(read_json(folder / STAMP)["sha256"] == _hash(config, run))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _hash(config: Config, run: str) -> str:
    settings = config.runs[run]
    sections = {"seed", "image_size", "kernels", "prior", "training", "protocols"}
    facts: dict[str, Any] = config.model_dump(mode="json", include=sections)
    facts["run"] = [run, settings.model_dump(mode="json")]
    facts["method"] = config.methods[settings.method]
    facts["code"] = _code_digest(settings.method)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@cache
def _code_digest(method: str) -> str:
    """Digest of the code that trains a method."""
    return digest(training_code(method_class(method)))
