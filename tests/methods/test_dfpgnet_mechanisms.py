"""What DFPGnet measures of itself: whether its parts are at work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from dfpg.methods.blocks import SFT
from dfpg.methods.dfpgnet import Restored


def mechanisms_of(method, images=4):
    stream = torch.Generator().manual_seed(5)
    sharp = torch.rand(images, 3, 32, 32, generator=stream) * 2 - 1
    with torch.no_grad():
        return method.mechanisms(SimpleNamespace(sharp=sharp, blurred=F.avg_pool2d(sharp, 5, 1, 2)))


def test_transforms_that_start_as_nothing_have_no_spread(make):
    """Their last layers are zero: scale and shift are the same everywhere."""
    method = make()
    still = mechanisms_of(method)
    names = {f"transform_spread.{kind}{level}" for kind in ("ssft", "sft") for level in (1, 2, 3)}
    assert {name for name in still if name.startswith("transform")} == names
    assert all(float(still[name].abs().max()) < 1e-6 for name in names)
    for module in method.networks["generator"].modules():
        if isinstance(module, SFT):
            torch.nn.init.normal_(module.shift[-1].weight)
    moved = mechanisms_of(method)
    assert all((moved[f"transform_spread.sft{level}"] > 0.01).all() for level in (1, 2, 3))
    assert float(moved["transform_spread.ssft1"].abs().max()) < 1e-6


def test_a_predicted_prior_gains_what_it_is_nearer_than_the_blurred_image_s(make, monkeypatch):
    method = make(variant="b4")
    generator = method.networks["generator"]
    stream = torch.Generator().manual_seed(5)
    sharp = torch.rand(4, 3, 32, 32, generator=stream) * 2 - 1
    perfect = Restored(sharp, method.target_prior(sharp))
    monkeypatch.setattr(generator, "forward", lambda _: perfect)
    found = mechanisms_of(method)
    assert torch.allclose(found["prior_cosine.1"], torch.ones(4), atol=1e-4)
    assert (found["prior_cosine_gain.1"] > 0.01).all()
    blurred = method.target_prior(F.avg_pool2d(sharp, 5, 1, 2))
    monkeypatch.setattr(generator, "forward", lambda _: Restored(sharp, blurred))
    assert torch.allclose(mechanisms_of(method)["prior_cosine_gain.2"], torch.zeros(4), atol=1e-6)


@pytest.mark.parametrize("variant", ["b6", "b6_prior"])
def test_where_the_prior_loss_weighs_channels_so_does_the_gain(make, monkeypatch, variant):
    """A stream that predicts the important half of the channels alone does what it is asked to."""
    method = make(variant=variant)
    networks = method.networks
    weighing = networks["attention_discriminator" if variant == "b6_prior" else "discriminator"]
    stream = torch.Generator().manual_seed(5)
    sharp = torch.rand(4, 3, 32, 32, generator=stream) * 2 - 1
    truth = method.target_prior(sharp)
    made = [level.clone() for level in truth]
    for level, attention in zip(made, weighing.attention, strict=True):
        half = level.shape[1] // 2
        level[:, half:] = 1 - level[:, half:]
        weights = (torch.arange(level.shape[1]) < half).float().reshape(1, -1, 1, 1)
        monkeypatch.setattr(attention, "weights", lambda p, w=weights: w.expand(len(p), -1, 1, 1))
    monkeypatch.setattr(networks["generator"], "forward", lambda _: Restored(sharp, made))
    found = mechanisms_of(method)
    blurred = method.target_prior(F.avg_pool2d(sharp, 5, 1, 2))
    for number, (one, two) in enumerate(zip(truth, blurred, strict=True), 1):
        half = one.shape[1] // 2
        own = F.cosine_similarity(one[:, :half], two[:, :half], dim=1).mean(dim=(1, 2))
        seen = F.cosine_similarity(one[:, :half], one[:, :half], dim=1).mean(dim=(1, 2))
        assert torch.allclose(found[f"prior_cosine_gain.{number}"], seen - own, atol=1e-5)
        assert (found[f"prior_cosine_gain_unweighted.{number}"] < seen - own).all()
        whole = F.cosine_similarity(one, made[number - 1], dim=1).mean(dim=(1, 2))
        assert torch.allclose(found[f"prior_cosine.{number}"], whole, atol=1e-5)


def test_without_such_weights_the_gain_is_of_all_channels(make):
    for variant in ("b4", "b5", "b6_ca"):
        found = mechanisms_of(make(variant=variant))
        assert not any("unweighted" in name for name in found)


def test_channel_attention_is_looked_at_where_there_is_one(make):
    found = mechanisms_of(make())
    assert (found["attention_spread.1"] > 0).all()
    assert (found["attention_stability.3"] <= 1 + 1e-5).all()
    assert not any(name.startswith("attention") for name in mechanisms_of(make(variant="b5")))
    assert mechanisms_of(make(variant="b1")) == {}
