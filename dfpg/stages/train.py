"""Stage ``train``: one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfpg.core.config import Config, Framing, load_config
from dfpg.core.device import select_device
from dfpg.core.files import sha256, write_text
from dfpg.core.paths import ARTIFACTS, KERNELS, PARSING, PRIORS, SCRATCH
from dfpg.core.terminal import say
from dfpg.data.blur.kernels import load_bank
from dfpg.data.faces.dataset import EMBEDDED, FACES, JOIN, PREPARED, cut, framing_square, load_faces
from dfpg.methods.base import Method
from dfpg.methods.official import load_published
from dfpg.methods.registry import build_method, needs_prior
from dfpg.methods.weights import save_weights
from dfpg.pretrained.parsing import label_file, load_labels
from dfpg.pretrained.vggface import WEIGHTS, load_prior
from dfpg.training.batch_views import WITH_LABELS, open_view
from dfpg.training.fingerprint import fingerprint, training_code, training_facts
from dfpg.training.history import History
from dfpg.training.loop import costs
from dfpg.training.loop import train as training_loop
from dfpg.training.snapshots import write_snapshots
from dfpg.training.validation import make_validation

TRAINING_INPUTS = "made_from"  # folder


def train(run: str, folder: Path = ARTIFACTS, config: Config | None = None) -> None:
    """Stage ``train``: train one run, resuming what an earlier attempt left behind.

    A run with ``weights`` is not trained: it takes these.

    Args:
        run: key under ``runs``.
        folder: gets weights, history, cost and snapshots; and, in ``made_from``, what the training
            was asked to do, by which ``dfpg record add`` knows a training from elsewhere.
        config: None: that of ``params.yaml``.
    """
    config = config or load_config()
    if run in config.runs and (weights := config.runs[run].weights) is not None:
        _take_published(config, run, Path(weights), folder)
        return
    prior = load_prior(PRIORS) if needs_prior(config, run) else None
    method = build_method(config, run, prior)
    protocol = config.runs[run].protocol
    settings = config.protocols[protocol]
    names = settings.source.split(JOIN)
    bank = load_bank(settings.kernels)
    faces = load_faces(settings.source, "train", settings.framing)
    view = config.runs[run].view or method.view
    labels = _training_labels(names, settings.framing) if view in WITH_LABELS else None
    batches = open_view(view, config, run, faces, bank, select_device(), labels)
    facts = training_inputs(config, run, method)
    weights_file = folder / "weights" / f"{run}.safetensors"
    training_loop(
        config,
        run,
        method,
        batches,
        out=weights_file,
        history=folder / "history" / f"{run}.csv",
        cost=folder / "cost" / f"{run}.json",
        snapshots=folder / "snapshots" / run,
        scratch=SCRATCH / fingerprint(config, run, *_depends_on(config, run, method)),
        validate=make_validation(config, protocol, bank),
    )
    facts |= {"weights": sha256(weights_file)}
    write_text(
        folder / TRAINING_INPUTS / f"{run}.json", json.dumps(facts, indent=1, sort_keys=True) + "\n"
    )


def training_inputs(config: Config, run: str, method: Method) -> dict[str, Any]:
    """What training this run here and now is asked to do: parameters, hashes of inputs and code.

    Args:
        config: of ``params.yaml``.
        run: key in ``runs``, to be trained.
        method: the run's.

    Raises:
        UserError: an input is missing.
    """
    return training_facts(config, run, *_depends_on(config, run, method))


def _depends_on(config: Config, run: str, method: Method) -> tuple[list[Path], list[Path]]:
    """Files and folders that a training reads, and the code that it runs."""
    settings = config.protocols[config.runs[run].protocol]
    names = settings.source.split(JOIN)
    inputs = [KERNELS / f"{settings.kernels}.safetensors"]
    inputs += [FACES if name == EMBEDDED else PREPARED / name for name in names]
    if needs_prior(config, run):
        inputs.append(PRIORS / WEIGHTS)
    if (config.runs[run].view or method.view) in WITH_LABELS:
        inputs += [label_file(PARSING, name) for name in names]
    return inputs, training_code(type(method))


def _training_labels(names: list[str], framing: Framing) -> NDArray[np.uint8]:
    """Parsing maps [N, S, S] of the training faces of several sources, in one framing."""
    parts = [cut(load_labels(PARSING, [name]), framing_square(name, framing)) for name in names]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _take_published(config: Config, run: str, path: Path, out: Path) -> None:
    """Write what training would, from the user's file or folder: no steps, no seconds."""
    method = build_method(config, run, prior=None)
    official = load_published(method, path)
    method.to(select_device())
    protocol = config.runs[run].protocol
    validation = make_validation(config, protocol, load_bank(config.protocols[protocol].kernels))
    history = History()
    history.close_row(0, lr=0.0, **validation(method, {}))
    write_text(out / "history" / f"{run}.csv", history.csv())
    write_text(out / "cost" / f"{run}.json", costs(0.0, config.training))
    save_weights(out / "weights" / f"{run}.safetensors", method, steps=0, official=official)
    write_snapshots(out / "snapshots" / run, method, {}, config.training.batch_size)
    say(f"{run}: took the published weights {path} (SHA-256 {official}); not trained")
