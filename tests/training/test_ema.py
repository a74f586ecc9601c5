from __future__ import annotations

import pytest
import torch
from torch import nn

from dfpg.training.ema import clone, update_average, use_weights


def test_average_follows_its_formula_and_copies_counters():
    network = nn.BatchNorm1d(1)
    average = clone(network)
    with torch.no_grad():
        network.weight.fill_(3)
    network.num_batches_tracked.fill_(7)
    update_average(average, network, decay=0.75)
    assert average["weight"].item() == 0.75 * 1 + 0.25 * 3
    assert average["num_batches_tracked"].item() == 7


def test_other_weights_are_used_inside_only_even_after_an_error():
    network = nn.Linear(1, 1)
    own, seen = network.weight.item(), []

    def fail() -> None:
        with use_weights(network, {name: value + 1 for name, value in clone(network).items()}):
            seen.append(network.weight.item())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == [pytest.approx(own + 1)]
    assert network.weight.item() == own


def test_no_weights_leave_the_network_as_it_is():
    network = nn.Linear(1, 1)
    own = network.weight.item()
    with use_weights(network, {}):
        assert network.weight.item() == own
