"""How networks start: Kaiming weights from named streams, zeros, layers that undo each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from dfpg.core.seeds import derive_seed


@contextmanager
def freeze(network: nn.Module) -> Iterator[None]:
    """Losses built inside give no gradient to the network's parameters, only to its inputs."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def initialise(network: nn.Module, seed: int, scale: float) -> None:
    """Kaiming normal (fan_in, a = 0) times ``scale`` for convolutions and linear layers, zero bias.

    Each layer draws from a stream named by its own name, so that two networks that share a layer
    (the ablations) start from the same weights there.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            stream = torch.Generator().manual_seed(derive_seed(seed, "init", name))
            nn.init.kaiming_normal_(layer.weight, a=0, mode="fan_in", generator=stream)
            with torch.no_grad():
                layer.weight.mul_(scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def set_orthonormal_ends(first: nn.Conv2d, last: nn.Conv2d, seed: int, share: float = 1.0) -> None:
    """Make ``last(first(x)) = share * x``: orthonormal columns in the centre tap, then transposed.

    Args:
        first: convolution 3 -> n with odd kernel.
        last: 1x1 convolution n -> 3.
        seed: the run's seed.
        share: factor of the product.
    """
    stream = torch.Generator().manual_seed(derive_seed(seed, "init", "orthonormal"))
    columns = nn.init.orthogonal_(first.weight.new_empty(first.out_channels, 3), generator=stream)
    centre = first.kernel_size[0] // 2
    zero(first)
    zero(last)
    with torch.no_grad():
        first.weight[:, :, centre, centre] = columns
        last.weight[:, :, 0, 0] = share * columns.T
