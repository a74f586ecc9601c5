"""Whether a training's parts work: each loss term's share of the gradient, and what D can tell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from torch import Tensor, nn

from dfpg.core.device import Precision
from dfpg.methods.base import Method
from dfpg.training.step import forward_passes, take_images

if TYPE_CHECKING:
    from dfpg.methods.batch import Batch

IMAGES = 4  # whose gradients are compared


def gradient_shares(
    method: Method, batch: Batch, world: PartialState, precision: Precision
) -> dict[str, float]:
    """Share of each loss term in the generator's gradient, on the first images of a batch.

    A share is the L2 norm of the weighted term's gradient over the sum of all terms' norms.
    Nothing that training rests on changes: weights, gradients, buffers and random numbers stay.

    Args:
        method: in training mode.
        batch: the whole batch, whatever part of it this process trains on.
        world: see :func:`dfpg.core.device.process_group`.
        precision: of the forward passes.

    Returns:
        ``share.<term>.<part>`` for the parts that ``method.gradient_parts`` names; empty where the
        generator's loss has a single term, or is not trained in this step.
    """
    generator = method.networks["generator"]
    parts = {
        part: [p for name in names for p in generator.get_submodule(name).parameters()]
        for part, names in method.gradient_parts.items()
    }
    norms: dict[str, dict[str, float]] = {part: {} for part in parts}
    with preserve_state(method, world.device):
        for phase in forward_passes(
            method.phases(take_images(batch, slice(IMAGES))), world, precision
        ):
            for term, value in phase.terms.items() if phase.optimiser == "generator" else ():
                for part, norm in gradient_norms(value, parts).items():
                    norms[part][term] = norm
    shares: dict[str, float] = {}
    for part, found in norms.items():
        total = sum(found.values())
        if len(found) > 1 and total > 0:
            shares |= {f"share.{term}.{part}": norm / total for term, norm in found.items()}
    return shares


def gradient_norms(value: Tensor, parts: Mapping[str, list[nn.Parameter]]) -> dict[str, float]:
    """L2 norm of a scalar's gradient on each list of parameters; its graph is kept."""
    trained = [p for parameters in parts.values() for p in parameters if p.requires_grad]
    if not (value.requires_grad and trained):
        return dict.fromkeys(parts, 0.0)
    found = torch.autograd.grad(value, trained, retain_graph=True, allow_unused=True)
    gradients = {p: g for p, g in zip(trained, found, strict=True) if g is not None}
    return {
        part: float(nn.utils.get_total_norm([gradients[p] for p in parameters if p in gradients]))
        for part, parameters in parts.items()
    }


@contextmanager
def preserve_state(method: Method, device: torch.device) -> Iterator[None]:
    """Buffers and random numbers are afterwards as they were before."""
    networks = method.networks.values()
    before = [{name: b.clone() for name, b in network.named_buffers()} for network in networks]
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        for network, values in zip(networks, before, strict=True):
            for name, buffer in network.named_buffers():
                buffer.copy_(values[name])


@torch.no_grad()
def discriminator_auc(
    method: Method, batches: Iterable[Batch], people: Sequence[str] = ()
) -> dict[str, float]:
    """How well the discriminator tells real from made: area under the ROC curve of its logits.

    Args:
        method: in training mode; evaluated with the generator as it stands.
        batches: of people that it is not trained on.
        people: of all their images; none: no error is wanted.

    Returns:
        ``discriminator_auc``, 0.5 at chance, 1 where every real image has a higher logit than every
        made one, and its standard error over people; empty without a discriminator.
    """
    method.train(False)
    found = [scores for batch in batches if (scores := method.discriminator_scores(batch))]
    method.train()
    if not found:
        return {}
    real, made = (torch.cat(parts).float().cpu().numpy() for parts in zip(*found, strict=True))
    above = (real[:, None] > made) + 0.5 * (real[:, None] == made)
    # Each image's part in the area, as a real one and as a made one (DeLong et al. 1988).
    parts = above.mean(axis=1) + above.mean(axis=0)
    return {
        "discriminator_auc": float(above.mean()),
        **_error("discriminator_auc_se", parts, people),
    }


@torch.no_grad()
def mechanism_figures(
    method: Method, batches: Iterable[Batch], people: Sequence[str]
) -> dict[str, float]:
    """Means of what the method measures of its own parts, on people that it is not trained on.

    Args:
        method: in training mode; it is left as it was.
        batches: see :meth:`dfpg.methods.base.Method.mechanisms`.
        people: of all their images.

    Returns:
        ``mechanism.<measure>`` and its standard error over people, ``mechanism_se.<measure>``.
    """
    method.train(False)
    found: dict[str, list[Tensor]] = {}
    for batch in batches:
        for name, values in method.mechanisms(batch).items():
            found.setdefault(name, []).append(values.float().cpu())
    method.train()
    figures: dict[str, float] = {}
    for name, parts in found.items():
        measured = torch.cat(parts).numpy().astype(np.float64)
        figures[f"mechanism.{name}"] = float(measured.mean())
        figures |= _error(f"mechanism_se.{name}", measured, people)
    return figures


def standard_error(values: NDArray[np.float64], people: Sequence[str]) -> float:
    """Standard error of the mean over images [N] whose people were drawn, not the images.

    Deviations are summed within a person before they are squared, as one person's images are not
    independent. NaN with a single person.
    """
    names, owner = np.unique(np.array(people), return_inverse=True)
    if len(names) < 2:
        return math.nan
    sums = np.bincount(owner, values - values.mean())
    variance = len(names) / (len(names) - 1) * np.square(sums).sum()
    return float(np.sqrt(variance) / len(values))


def _error(name: str, values: NDArray[np.float64], people: Sequence[str]) -> dict[str, float]:
    error = standard_error(values, people) if people else math.nan
    return {} if math.isnan(error) else {name: error}
