"""One training step, the same for plain networks and GANs."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.optim import Optimizer

from dfpg.core.device import Precision, autocast
from dfpg.methods.base import Method, Phase

if TYPE_CHECKING:
    from dfpg.methods.batch import Batch


def training_step(
    method: Method,
    batch: Batch,
    optimisers: Mapping[str, Optimizer],
    world: PartialState,
    precision: Precision = "fp32",
    clip: float | None = None,
    unclipped: Collection[str] = (),
) -> dict[str, float]:
    """Train on one batch: every phase of the method is one step of one optimiser.

    A phase's loss is computed after the step of the phase before: DFPGnet's generator (Eq. 10)
    meets the discriminator that Eq. 6 has just changed.

    Args:
        method: in training mode, on the process group's device.
        batch: the whole batch; each process takes its share.
        optimisers: by name, as ``method.optimisers`` makes them; their learning rates are set.
        world: see :func:`dfpg.core.device.process_group`.
        precision: of the forward passes; weights and gradients are always fp32.
        clip: bound on the global L2 norm of each optimiser's gradient.
        unclipped: optimisers whose gradient has no bound, see :func:`discriminator_optimisers`:
            penalties on a discriminator (R1) say by their size how much they count.

    Returns:
        Means over the processes: ``loss_<optimiser>``, ``gradient_<optimiser>`` (global L2 norm
        before it is clipped) and the phases' own figures. None is checked: they may be NaN or
        infinite.
    """
    figures: dict[str, Tensor] = {}
    for phase in forward_passes(method.phases(process_share(batch, world)), world, precision):
        optimiser = optimisers[phase.optimiser]
        optimiser.zero_grad(set_to_none=True)
        phase.loss.backward()  # type: ignore[no-untyped-call]
        norm = average_gradients(optimiser, world)
        if clip is not None and phase.optimiser not in unclipped:
            parameters = [p for group in optimiser.param_groups for p in group["params"]]
            nn.utils.clip_grads_with_norm_(parameters, clip, norm)
        optimiser.step()
        figures[f"loss_{phase.optimiser}"] = phase.loss
        figures[f"gradient_{phase.optimiser}"] = norm
        figures |= phase.figures
    return average_figures(figures)


def discriminator_optimisers(method: Method, optimisers: Mapping[str, Optimizer]) -> frozenset[str]:
    """Names of the optimisers of discriminators: those that train no part of the generator."""
    generator = {id(p) for p in method.networks["generator"].parameters()}
    return frozenset(
        name
        for name, optimiser in optimisers.items()
        if not any(id(p) in generator for group in optimiser.param_groups for p in group["params"])
    )


def process_share(batch: Batch, world: PartialState) -> Batch:
    """This process's part of a batch: equal parts, in the order of the processes."""
    if world.num_processes == 1:
        return batch
    size = batch.sharp.shape[0] // world.num_processes
    return take_images(batch, slice(world.process_index * size, (world.process_index + 1) * size))


def take_images(batch: Batch, images: slice) -> Batch:
    """Some images of a batch."""
    return dataclasses.replace(batch, **{name: t[images] for name, t in tensors_of(batch).items()})


def tensors_of(batch: Batch) -> dict[str, Tensor]:
    """Tensor fields of a batch by name."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: value for name, value in fields.items() if isinstance(value, Tensor)}


def forward_passes(
    phases: Iterator[Phase], world: PartialState, precision: Precision
) -> Iterator[Phase]:
    """Run each phase's forward pass in ``precision``, what the caller does between in fp32.

    One context per phase, because autocast caches weights in bf16 until its context ends: the
    next phase must see the weights that the optimiser has changed meanwhile.
    """
    while True:
        with autocast(world.device, precision):
            phase = next(phases, None)
        if phase is None:
            return
        yield phase


def average_gradients(optimiser: Optimizer, world: PartialState) -> Tensor:
    """Replace the gradients by their mean over the processes; returns their global L2 norm."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world.num_processes > 1:
        mean = reduce(torch.cat([g.reshape(-1) for g in gradients]), "mean")
        for gradient, part in zip(
            gradients, mean.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))
    return nn.utils.get_total_norm(gradients)


def average_figures(figures: dict[str, Tensor]) -> dict[str, float]:
    """Mean of each figure over the processes, all in one transfer from the device."""
    values = torch.stack([value.detach().float().reshape(()) for value in figures.values()])
    return dict(zip(figures, reduce(values, "mean").tolist(), strict=True))
