"""Exact training state in one file: a checkpoint is whole or it does not exist."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dfpg.core.checked import DamagedError, read_checked, to_half, write_checked
from dfpg.core.errors import file_error
from dfpg.core.terminal import print_error
from dfpg.training.ema import newest_share, update_average
from dfpg.training.guard import Guard
from dfpg.training.history import History

KEPT_CHECKPOINTS = 2


@dataclass
class TrainingState:
    """All that a later step depends on, and the ``seconds`` spent.

    ``average`` is the moving average that becomes the result, ``course`` the one that snapshots are
    taken of; each may be empty. ``snapshots`` are states of the generator by step. ``compiled``:
    compiled networks made some of the steps.
    """

    networks: dict[str, nn.Module]
    optimisers: dict[str, Optimizer]
    average: dict[str, Tensor]
    history: History = field(default_factory=History)
    step: int = 0
    seconds: float = 0.0
    course: dict[str, Tensor] = field(default_factory=dict)
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    guard: Guard = field(default_factory=Guard)
    compiled: bool = False

    def update_averages(self, ema: float, kept: Container[int]) -> None:
        """Take the generator as it stands after ``step`` into the averages that are kept.

        Args:
            ema: decay of ``average``.
            kept: steps after which ``course`` becomes a snapshot.
        """
        generator = self.networks["generator"]
        if self.average:
            update_average(self.average, generator, newest_share(self.step, ema))
        if self.course:
            update_average(self.course, generator, newest_share(self.step))
        if self.step in kept:
            copy = {name: value.cpu().clone() for name, value in self.course.items()}
            self.snapshots[self.step] = to_half(copy)


def save_checkpoint(folder: Path, state: TrainingState) -> None:
    """Write ``checkpoint-<step>.safetensors`` atomically, then drop all but the last two.

    Raises:
        UserError: the disk is full or refuses; earlier checkpoints are as they were.
    """
    tensors, values = _flatten(state)
    facts = {
        "step": state.step,
        "seconds": state.seconds,
        "history": vars(state.history),
        "guard": vars(state.guard),
        "compiled": state.compiled,
        "values": values,
    }
    write_checked(folder / f"checkpoint-{state.step:09d}.safetensors", tensors, facts)
    for path in _checkpoints(folder)[KEPT_CHECKPOINTS:]:
        path.unlink()


def load_checkpoint(folder: Path, state: TrainingState) -> bool:
    """Bring ``state`` to the newest readable checkpoint, in place; False if there is none.

    A damaged file is removed with one line on stderr, and the one before it is taken.
    """
    found = _checkpoints(folder)
    for path in found:
        try:
            tensors, facts = read_checked(path)
        except DamagedError as error:
            print_error(f"{path}: damaged checkpoint ({error}); using the one before")
            path.unlink(missing_ok=True)
            continue
        except OSError as error:
            raise file_error(path, "read", error) from error
        _unflatten(state, tensors, facts["values"])
        state.step, state.seconds = facts["step"], facts["seconds"]
        state.history = History(**facts["history"])
        state.guard = Guard(**facts["guard"])
        state.compiled |= facts["compiled"]
        return True
    if found:
        print_error(f"{folder}: no checkpoint left; training from the beginning")
    return False


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)


def _flatten(state: TrainingState) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Named tensors, and the optimisers' few values that are none."""
    tensors = {"rng/cpu": torch.get_rng_state()}
    values: dict[str, Any] = {}
    if torch.cuda.is_available():
        tensors["rng/cuda"] = torch.cuda.get_rng_state()
    for name, network in state.networks.items():
        tensors |= {f"network/{name}/{key}": t for key, t in network.state_dict().items()}
    for name, optimiser in state.optimisers.items():
        for index, entries in optimiser.state_dict()["state"].items():
            for key, value in entries.items():
                target: dict[str, Any] = tensors if isinstance(value, Tensor) else values
                target[f"optimiser/{name}/{index}/{key}"] = value
    tensors |= {f"average/{key}": t for key, t in state.average.items()}
    tensors |= {f"course/{key}": t for key, t in state.course.items()}
    for step, snapshot in state.snapshots.items():
        tensors |= {f"snapshot/{step}/{key}": t for key, t in snapshot.items()}
    return tensors, values


def _unflatten(state: TrainingState, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Reverse of :func:`_flatten`. Learning rates and the like come from the config anew."""
    torch.set_rng_state(tensors["rng/cpu"])
    if torch.cuda.is_available() and "rng/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng/cuda"])
    for name, network in state.networks.items():
        network.load_state_dict(_strip_prefix(f"network/{name}/", tensors))
    for key, value in _strip_prefix("average/", tensors).items():
        state.average[key].copy_(value)
    for key, value in _strip_prefix("course/", tensors).items():
        state.course[key].copy_(value)
    state.snapshots = {}
    for path, value in _strip_prefix("snapshot/", tensors).items():
        step, key = path.split("/", 1)
        state.snapshots.setdefault(int(step), {})[key] = value
    for name, optimiser in state.optimisers.items():
        prefix = f"optimiser/{name}/"
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        entries: dict[int, dict[str, Any]] = {}
        for path, value in (_strip_prefix(prefix, tensors) | _strip_prefix(prefix, values)).items():
            index, key = path.split("/", 1)
            entries.setdefault(int(index), {})[key] = _match_layout(value, parameters[int(index)])
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": entries, "param_groups": groups})


def _strip_prefix(prefix: str, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries whose name starts with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in entries.items()
        if name.startswith(prefix)
    }


def _match_layout(value: Any, parameter: Tensor) -> Any:
    """An optimiser's tensor in its parameter's memory layout.

    Files hold plain layout, networks are channels_last; vector code rounds alike only where the
    layouts of all operands agree.
    """
    if isinstance(value, Tensor) and value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value
