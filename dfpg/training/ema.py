"""Moving averages of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def clone(network: nn.Module) -> dict[str, Tensor]:
    """Copy of a network's state."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def newest_share(step: int, decay: float = 1.0) -> float:
    """Share of the newest weights in the average after ``step`` updates (1, 2, ...).

    1 - ``decay``, but while that would remember more than about a tenth of the steps so far, the
    share of polynomial-decay averaging (Shamir and Zhang, ICML 2013, eta = 9). So the first weights
    are forgotten at any length of a training; with decay 1 the average always spans that tenth.
    """
    return max(1 - decay, 10 / (step + 9))


@torch.no_grad()
def update_average(average: dict[str, Tensor], network: nn.Module, share: float) -> None:
    """Moving average: a <- (1 - share) a + share w; integer buffers are copied."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, share)
        else:
            average[name].copy_(value)


@contextmanager
def use_weights(network: nn.Module, state: Mapping[str, Tensor]) -> Iterator[None]:
    """Use ``state`` (if any) as the network's weights inside, its own again afterwards."""
    own = clone(network) if state else {}
    if state:
        network.load_state_dict(dict(state))
    try:
        yield
    finally:
        if state:
            network.load_state_dict(own)
