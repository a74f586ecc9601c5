"""Exponential moving average of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def clone(network: nn.Module) -> dict[str, Tensor]:
    """Copy of a network's state."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Exponential moving average: a <- decay a + (1 - decay) w; integer buffers are copied."""
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
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
