"""What a training run depends on, as one hash: resume state is used only where it agrees."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from dfpg.core.closure import closure, digest
from dfpg.core.config import Config
from dfpg.core.device import resolve_precision, select_device
from dfpg.core.errors import UserError
from dfpg.core.files import sha256


def fingerprint(config: Config, run_name: str, inputs: Sequence[Path], code: Sequence[Path]) -> str:
    """SHA-256 (64 hexadecimal digits) of everything that decides a run's weights and history.

    Config: the run itself, its method's and its protocol's section, training, seed and image
    size. ``checkpoint_every`` and the test sets, but for their noise, which validation takes over,
    change neither and are left out. Also the torch version, the resolved precision and the device
    type; not the paths.

    Args:
        config: the whole configuration.
        run_name: key under ``runs``.
        inputs: files or folders that training reads: kernels, faces, prior weights.
        code: source files that training executes; see :func:`training_code`.

    Raises:
        UserError: no such run, or an input is missing.
    """
    if run_name not in config.runs:
        raise UserError(f"runs.{run_name}: no such run: choose one of {', '.join(config.runs)}")
    run = config.runs[run_name]
    protocol, device = config.protocols[run.protocol], select_device()
    facts = {
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
        "precision": resolve_precision(config.training.precision, device),
        "device": device.type,
        "torch": torch.__version__,
        "inputs": _contents(inputs),
        "code": digest(code),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def training_code(method: type) -> list[Path]:
    """Source files that decide what training a method of this class gives."""
    name = method.__module__
    if name.startswith("dfpg."):
        return closure("dfpg.stages.train", name)
    return [*closure("dfpg.stages.train"), Path(inspect.getfile(method))]


def _contents(paths: Iterable[Path]) -> list[tuple[str, str]]:
    """Name and hash of every file; folders count with all that is in them."""
    found = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: missing: run the stage that makes it first (`dvc repro`)")
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file())
            found += [(p.relative_to(path).as_posix(), sha256(p)) for p in files]
        else:
            found.append((path.name, sha256(path)))
    return found
