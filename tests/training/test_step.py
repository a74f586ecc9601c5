from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.steps import step
from helpers.toys import Toy, ToyBatch, ToyBatches
from torch import nn

from dfpg.core.device import process_group
from dfpg.methods.base import Phase
from dfpg.training.step import (
    discriminator_optimisers,
    forward_passes,
    process_share,
    training_step,
)


class Product(Toy):
    """Generator g and discriminator d, one weight each: d's loss is d, g's is 3 d g + g."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = {name: nn.Linear(1, 1, bias=False) for name in self.networks}
        for network in self.networks.values():
            nn.init.ones_(network.weight)

    def phases(self, _batch):
        g, d = (self.networks[name].weight for name in ("generator", "discriminator"))
        yield Phase("discriminator", d.sum(), {})
        yield Phase.of("generator", {"product": (3.0, (d * g).sum()), "own": (1.0, g.sum())})


def test_figures_are_losses_gradient_norms_and_terms_of_alternating_phases():
    method = Product()
    optimisers = {n: torch.optim.SGD(m.parameters(), 0.5) for n, m in method.networks.items()}
    assert step(method, ToyBatches().batch(0), optimisers) == {
        "loss_discriminator": 1,
        "gradient_discriminator": 1,
        "loss_generator": 2.5,  # d has become 0.5
        "gradient_generator": 2.5,
        "product": 0.5,
        "own": 1,
    }
    weights = [network.weight.item() for network in method.networks.values()]
    assert weights == [1 - 0.5 * 2.5, 0.5]  # the gradient that 3 d g leaves in d counts for nothing


class SecondDiscriminator(Product):
    """A second discriminator of any name, and an optimiser for a part of the generator."""

    def __init__(self) -> None:
        super().__init__()
        self.networks["second"] = nn.Linear(1, 1, bias=False)

    def phases(self, batch):
        yield Phase("second", self.networks["second"].weight.sum(), {})
        yield from super().phases(batch)
        yield Phase("part", 2 * self.networks["generator"].weight.sum(), {})


def test_clipping_leaves_every_discriminator_alone():
    method = SecondDiscriminator()
    networks = {**method.networks, "part": method.networks["generator"]}
    optimisers = {n: torch.optim.SGD(m.parameters(), 0.5) for n, m in networks.items()}
    discriminators = discriminator_optimisers(method, optimisers)
    assert discriminators == {"discriminator", "second"}
    before = {name: network.weight.item() for name, network in method.networks.items()}
    batch = ToyBatches().batch(0)
    training_step(method, batch, optimisers, process_group(), clip=0.1, unclipped=discriminators)
    moved = {name: before[name] - method.networks[name].weight.item() for name in before}
    # Each discriminator by 0.5 x 1, the generator by 0.5 x 0.1 in each of its two phases.
    expected = {"generator": 0.1, "discriminator": 0.5, "second": 0.5}
    assert moved == pytest.approx(expected, rel=1e-4)


def test_shares_are_equal_parts_in_the_order_of_the_processes():
    batch = ToyBatches(size=6).batch(0)
    parts = [
        process_share(batch, SimpleNamespace(num_processes=3, process_index=i)) for i in range(3)
    ]
    assert all(isinstance(part, ToyBatch) and len(part.sharp) == 2 for part in parts)
    assert torch.equal(torch.cat([part.blurred for part in parts]), batch.blurred)


def test_bf16_phases_do_not_use_weights_cached_before_a_step():
    layer = nn.Linear(4, 4)
    x = torch.ones(1, 4)

    def phases():
        yield Phase("generator", layer(x).sum(), {})
        yield Phase("generator", layer(x).sum(), {})

    losses = []
    for phase in forward_passes(phases(), process_group(), "bf16"):
        losses.append(phase.loss.item())
        assert not torch.is_autocast_enabled("cpu")
        phase.loss.backward()
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
    assert losses[0] != 0
    assert losses[1] == 0
