from __future__ import annotations

import pytest
import torch
from torch import nn

from dfpg.training.ema import clone, newest_share, update_average, use_weights


def test_average_follows_its_formula_and_copies_counters():
    network = nn.BatchNorm1d(1)
    average = clone(network)
    with torch.no_grad():
        network.weight.fill_(3)
    network.num_batches_tracked.fill_(7)
    update_average(average, network, share=0.25)
    assert average["weight"].item() == 0.75 * 1 + 0.25 * 3
    assert average["num_batches_tracked"].item() == 7


def average_of(values: list[float], decay: float) -> float:
    found = 0.0
    for step, value in enumerate(values, 1):
        found += newest_share(step, decay) * (value - found)
    return found


def test_average_of_a_line_lags_by_an_eleventh_of_the_steps_whatever_their_number():
    """Polynomial-decay averaging: k of 1 ... n weighs C(k + 8, 9); the mean is (10 n + 1) / 11."""
    for steps in (1, 10, 160, 2560):
        line = [float(step) for step in range(1, steps + 1)]
        assert average_of(line, 1.0) == pytest.approx((10 * steps + 1) / 11)


def test_a_long_average_is_the_exponential_one():
    """With decay d a line is followed at a distance of d / (1 - d), as soon as 1 - d is larger."""
    line = [float(step) for step in range(1, 4001)]
    assert average_of(line, 0.99) == pytest.approx(4000 - 99, abs=0.01)


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
