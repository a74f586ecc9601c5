from __future__ import annotations

import pytest
import torch
from torch import nn

from dfpg.methods.initialise import freeze, initialise, set_orthonormal_ends


def test_frozen_gives_gradient_to_inputs_only_and_thaws_what_it_froze() -> None:
    network, x = nn.Linear(3, 1), torch.ones(1, 3, requires_grad=True)
    network.bias.requires_grad_(False)
    with freeze(network):
        loss = network(x).sum()
    loss.backward()
    assert network.weight.grad is None
    assert torch.equal(x.grad, network.weight.detach())
    assert (network.weight.requires_grad, network.bias.requires_grad) == (True, False)


def test_initialisation_depends_on_layer_name_and_seed_only() -> None:
    def network(*names: str) -> nn.Module:
        return nn.ModuleDict({name: nn.Conv2d(16, 16, 3) for name in names})

    one, two = network("a", "b"), network("b", "c")
    for net in (one, two):
        initialise(net, seed=4, scale=0.5)
    assert torch.equal(one["b"].weight, two["b"].weight)
    assert not torch.equal(one["a"].weight, one["b"].weight)
    assert one["a"].weight.std().item() == pytest.approx(0.5 * (2 / 144) ** 0.5, rel=0.05)
    assert not one["a"].bias.any()


def test_orthonormal_ends_undo_each_other_up_to_the_share() -> None:
    first, last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
    set_orthonormal_ends(first, last, seed=0, share=0.25)
    x = torch.rand(2, 3, 5, 6)
    torch.testing.assert_close(last(first(x)), 0.25 * x)
    columns = first.weight[:, :, 1, 1]
    torch.testing.assert_close(columns.T @ columns, torch.eye(3))
