from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from helpers.toys import Toy, ToyBatches
from torch import nn

from dfpg.core.device import process_group
from dfpg.methods.base import Phase
from dfpg.training.diagnostics import discriminator_auc, gradient_shares


class TwoParts(Toy):
    """Weights e (encoder) and p (prior) with terms 3 e, 4 p + e and one of weight 0."""

    gradient_parts: ClassVar = {"encoder": ("encoder",), "prior": ("prior",), "none": ("none",)}

    def __init__(self) -> None:
        super().__init__()
        layers = {name: nn.Linear(1, 1, bias=False) for name in ("encoder", "prior")}
        self.networks["generator"] = nn.ModuleDict({**layers, "none": nn.Identity()})

    def phases(self, _batch):
        e, p = (layer.weight.sum() for layer in list(self.networks["generator"].values())[:2])
        yield Phase.of("discriminator", {"d": (1.0, self.networks["discriminator"].weight.sum())})
        terms = {"one": (3.0, e), "two": (2.0, 2 * p + e / 2), "off": (0.0, p)}
        yield Phase.of("generator", terms | {"detached": (1.0, e.detach())})


def shares(method: Toy) -> dict[str, float]:
    return gradient_shares(method, ToyBatches().batch(0), process_group(), "fp32")


def test_shares_are_norms_of_the_weighted_terms_gradients_on_each_part():
    assert shares(TwoParts()) == {
        "share.one.encoder": pytest.approx(3 / 4),
        "share.two.encoder": pytest.approx(1 / 4),
        "share.detached.encoder": 0,
        "share.one.prior": 0,
        "share.two.prior": 1,
        "share.detached.prior": 0,
    }


def test_a_single_term_has_no_shares():
    class Single(TwoParts):
        def phases(self, _batch):
            yield Phase.of("generator", {"one": (1.0, self.networks["generator"].encoder.weight)})

    assert shares(Single()) == {}


def test_shares_are_of_the_first_images_only():
    class Counting(TwoParts):
        def phases(self, batch):
            seen.append(len(batch.blurred))
            yield from super().phases(batch)

    seen = []
    gradient_shares(Counting(), ToyBatches(size=9).batch(0), process_group(), "fp32")
    assert seen == [4]


def test_nothing_that_training_rests_on_changes():
    method = Toy(dropout=0.5).train()
    states = {name: network.state_dict() for name, network in method.networks.items()}
    before = {k: {n: v.clone() for n, v in state.items()} for k, state in states.items()}
    random = torch.get_rng_state()
    assert sum(shares(method).values()) == pytest.approx(1)
    assert torch.equal(torch.get_rng_state(), random)
    for name, network in method.networks.items():  # the spectral norm's vectors, too
        assert all(torch.equal(v, before[name][k]) for k, v in network.state_dict().items())
        assert all(p.grad is None for p in network.parameters())


class Judged(Toy):
    def discriminator_scores(self, batch):
        assert not self.networks["discriminator"].training
        return batch.sharp.mean(dim=(1, 2, 3)), batch.blurred.mean(dim=(1, 2, 3))


def test_auc_is_the_share_of_pairs_in_which_the_real_one_is_higher():
    batches = [ToyBatches().batch(step) for step in range(3)]
    real = torch.cat([batch.sharp.mean(dim=(1, 2, 3)) for batch in batches])
    made = torch.cat([batch.blurred.mean(dim=(1, 2, 3)) for batch in batches])
    expected = (real[:, None] > made).float().mean().item()
    method = Judged().train()
    assert discriminator_auc(method, batches) == {"discriminator_auc": pytest.approx(expected)}
    assert all(network.training for network in method.networks.values())


def test_without_a_discriminator_there_is_no_auc():
    assert discriminator_auc(Toy(), [ToyBatches().batch(0)]) == {}
