"""Hash of everything that a training depends on: a checkpoint is resumed only if it is equal."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dfpg.core.closure import closure, digest
from dfpg.core.config import Config
from dfpg.core.device import resolve_precision, select_device
from dfpg.core.errors import UserError
from dfpg.core.files import sha256


def fingerprint(config: Config, run_name: str, inputs: Sequence[Path], code: Sequence[Path]) -> str:
    """SHA-256 (64 hexadecimal digits) of everything that decides a run's weights and history.

    It covers :func:`training_facts`, the torch version, the precision and the device type.

    Args:
        config: the whole configuration.
        run_name: key under ``runs``.
        inputs: files or folders that training reads: kernels, faces, prior weights.
        code: source files that training executes; see :func:`training_code`.

    Raises:
        UserError: no such run, or an input is missing.
    """
    device = select_device()
    facts = {
        **training_facts(config, run_name, inputs, code),
        "precision": resolve_precision(config.training.precision, device),
        "device": device.type,
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def training_facts(
    config: Config, run_name: str, inputs: Sequence[Path], code: Sequence[Path]
) -> dict[str, Any]:
    """Parameters, inputs and code of a training, as JSON; the same on every machine.

    Parameters: the run, its method's and its protocol's section, ``training``, ``prior``'s taps and
    input, seed and image size. Left out is what changes neither weights nor history:
    ``checkpoint_every``, paths, and the test sets except for their noise, which validation uses.
    Inputs and code are given as hashes.

    Args: as of :func:`fingerprint`.

    Raises:
        UserError: no such run, or an input is missing.
    """
    if run_name not in config.runs:
        raise UserError(f"runs.{run_name}: no such run: choose one of {', '.join(config.runs)}")
    run = config.runs[run_name]
    protocol = config.protocols[run.protocol]
    return {
        "run": [run_name, run.model_dump(mode="json")],
        "seed": config.seed,
        "image_size": config.image_size,
        "method": config.methods.get(run.method, {}),
        "protocol": protocol.model_dump(mode="json", exclude={"test"}),
        "validation_noise": protocol.test.noise,
        "prior": config.prior.model_dump(mode="json", include={"taps", "input"}),
        "training": config.training.model_dump(
            mode="json", exclude={"checkpoint_every", "precision"}
        ),
        "inputs": {path.name: _content_hash(path) for path in inputs},
        "code": digest(code),
    }


def training_code(method: type) -> list[Path]:
    """Source files that a training of this method executes."""
    name = method.__module__
    if name.startswith("dfpg."):
        return closure("dfpg.stages.train", name)
    return [*closure("dfpg.stages.train"), Path(inspect.getfile(method))]


def _content_hash(path: Path) -> str:
    """Hash of a file; of a folder, the hash of the names and hashes of all files in it."""
    if not path.exists():
        raise UserError(f"{path}: missing: run the stage that makes it first (`dvc repro`)")
    if not path.is_dir():
        return sha256(path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    found = [(p.relative_to(path).as_posix(), sha256(p)) for p in files]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
