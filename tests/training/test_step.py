from __future__ import annotations

from types import SimpleNamespace

import torch
from helpers.steps import step
from helpers.toys import Toy, ToyBatch, ToyBatches
from torch import nn

from dfpg.core.device import process_group
from dfpg.methods.base import Phase
from dfpg.training.step import forward_passes, process_share


class Product(Toy):
    """Generator g and discriminator d, one weight each: d's loss is d, g's is 3 d g + g."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = {name: nn.Linear(1, 1, bias=False) for name in self.networks}
        for network in self.networks.values():
            nn.init.ones_(network.weight)

    def phases(self, _batch):
        g, d = (network.weight for network in self.networks.values())
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
