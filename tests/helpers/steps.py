"""Training steps on one batch, as the training loop makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from dfpg.core.device import process_group
from dfpg.methods.base import Method
from dfpg.training.step import discriminator_optimisers, training_step


def step(method: Method, batch: Any, optimisers: Mapping[str, Optimizer]) -> dict[str, float]:
    """One step; its figures."""
    return training_step(method, batch, optimisers, process_group())


def train(
    method: Method, batch: Any, optimisers: Mapping[str, Optimizer], steps: int
) -> list[dict[str, float]]:
    """Steps on the same batch; the figures of each."""
    return [step(method, batch, optimisers) for _ in range(steps)]


def train_discriminators(
    method: Method, batch: Any, optimisers: Mapping[str, Optimizer], steps: int
) -> None:
    """Steps of the discriminators alone: what comes after them is not worked out."""
    names = discriminator_optimisers(method, optimisers)
    for _ in range(steps):
        left = set(names)
        for phase in method.phases(batch):
            if phase.optimiser in left:
                optimisers[phase.optimiser].zero_grad()
                phase.loss.backward()
                optimisers[phase.optimiser].step()
                left.remove(phase.optimiser)
            if not left:
                break


def reached_parameters(
    method: Method, batch: Any, optimisers: Mapping[str, Optimizer], steps: int
) -> set[Tensor]:
    """Parameters that an optimiser stepped on a gradient other than zero, within some steps.

    No step is made after all are.
    """
    reached: set[Tensor] = set()
    groups = [group for optimiser in optimisers.values() for group in optimiser.param_groups]
    wanted = {p for group in groups for p in group["params"]}

    def note(optimiser: Optimizer, *_: Any) -> None:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        reached.update(p for p in parameters if p.grad is not None and p.grad.any())

    for optimiser in optimisers.values():
        optimiser.register_step_pre_hook(note)
    for _ in range(steps):
        step(method, batch, optimisers)
        if reached == wanted:
            break
    return reached
