"""Weights files: a generator as safetensors, with a card that says whose it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dfpg.core.checked import DamagedError, read_facts, read_tensors, to_half, write_checked
from dfpg.core.errors import UserError
from dfpg.methods.base import Method


@dataclass(frozen=True)
class WeightsCard:
    """What a weights file says of itself.

    ``official`` is the SHA-256 of the published file or folder that the weights come from
    (``dfpg.methods.official.digest``), None where they were trained here. ``exploded_at`` is the
    step from which the training went back to its last checkpoint, to go on at half the rate.
    ``encoder`` is the SHA-256 of the prior network's values where the method has it as a part: that
    is not in the file.
    """

    method: str
    options: dict[str, Any]
    image_size: int
    steps: int
    official: str | None = None
    exploded_at: int | None = None
    encoder: str | None = None


def save_weights(
    path: Path,
    method: Method,
    steps: int,
    state: Mapping[str, Tensor] | None = None,
    official: str | None = None,
    exploded_at: int | None = None,
) -> None:
    """Store a generator as safetensors, atomically; equal weights give equal bytes.

    Trained weights are kept in half precision, and scored as they are kept; published ones as they
    were published.

    Args:
        path: file to write.
        method: whose generator it is.
        steps: training steps behind the weights.
        state: the generator's state if not the current one (e.g. its moving average).
        official: see :class:`WeightsCard`.
        exploded_at: see :class:`WeightsCard`.
    """
    if state is None:
        state = method.networks["generator"].state_dict()
    card = {
        "method": method.name,
        "options": method.options.model_dump(mode="json"),
        "image_size": method.setting.image_size,
        "steps": steps,
        "official": official,
    }
    if exploded_at is not None:
        card["exploded_at"] = exploded_at
    if method.encoder is not None:
        card["encoder"] = _digest(_encoder(state, method))
        state = {name: value for name, value in state.items() if not _is_encoder_key(name, method)}
    stored = state if official else to_half(state)
    write_checked(path, stored, card)  # it keeps the order of the options: networks are built in it


def read_card(path: Path) -> WeightsCard:
    """Read what :func:`save_weights` recorded beside the weights, after checking all of the file.

    Files of earlier versions have no checksum and are taken as they are.

    Raises:
        UserError: missing, damaged, or not written by this suite.
    """
    try:
        facts, _ = read_facts(path)
        return WeightsCard(**facts)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such weights; train the run first") from error
    except (DamagedError, TypeError) as error:
        raise UserError(
            f"{path}: damaged, or not weights of this suite ({error}); train the run again"
        ) from error


def load_weights(path: Path, method: Method) -> WeightsCard:
    """Load a generator stored by :func:`save_weights` into ``method``, strictly.

    Raises:
        UserError: as :func:`read_card`; or the file holds another method or other layers, or
            values that are not finite, or was trained with another encoder than the method has.
    """
    card = read_card(path)
    if card.method != method.name:
        raise UserError(f"{path}: weights of {card.method}, not of {method.name}")
    try:
        state = read_tensors(path)
    except DamagedError as error:
        raise UserError(f"{path}: damaged weights ({error}); train the run again") from error
    network = method.networks["generator"]
    expected = network.state_dict()
    if method.encoder is not None:
        encoder = _encoder(expected, method)
        if card.encoder != _digest(encoder):
            raise UserError(
                f"{path}: trained with another prior network than the one here: take both from one "
                "record, or train the run again"
            )
        state |= encoder
    for name in sorted(expected.keys() | state.keys()):
        if name not in state or name not in expected:
            where = "missing from" if name not in state else "unexpected in"
            raise UserError(f"{path}: {name} is {where} the file: its options do not fit")
        if state[name].shape != expected[name].shape:
            found, wanted = list(state[name].shape), list(expected[name].shape)
            raise UserError(f"{path}: {name} is {found}, expected {wanted}: its options do not fit")
        if not bool(state[name].isfinite().all()):
            raise UserError(f"{path}: {name} is not finite; train the run again")
    network.load_state_dict(state)
    return card


def _is_encoder_key(name: str, method: Method) -> bool:
    return method.encoder is not None and name.startswith(f"{method.encoder}.")


def _encoder(state: Mapping[str, Tensor], method: Method) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if _is_encoder_key(name, method)}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the tensors' values in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
