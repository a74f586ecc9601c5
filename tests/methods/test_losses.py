from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from dfpg.methods import losses
from dfpg.methods.blocks import ChannelAttention


def prior(seed: int, scale: float = 1.0) -> list[Tensor]:
    stream = torch.Generator().manual_seed(seed)
    shapes = ((2, 16, 8, 6), (2, 32, 4, 3), (2, 48, 2, 2))
    return [scale * torch.randn(*shape, generator=stream) for shape in shapes]


def squared_numpy(a: Tensor, b: Tensor) -> np.ndarray:
    """Squared distance [N, C, H, W] of channel-normalised features."""
    x, y = a.double().numpy(), b.double().numpy()
    unit_x = x / np.linalg.norm(x, axis=1, keepdims=True)
    unit_y = y / np.linalg.norm(y, axis=1, keepdims=True)
    return (unit_x - unit_y) ** 2


@pytest.mark.parametrize("reduction", ["sum_hw", "mean_hw", "mean_chw"])
def test_prior_loss_equals_equation_9_in_numpy(reduction: losses.PriorReduction) -> None:
    predicted, target, expected = prior(0), prior(1), 0.0
    for a, b in zip(predicted, target, strict=True):
        squared, (images, channels, height, width) = squared_numpy(a, b), a.shape
        parts = {"sum_hw": 1, "mean_hw": height * width, "mean_chw": channels * height * width}
        expected += squared.sum() / images / parts[reduction]
    value = losses.prior_loss(predicted, target, None, reduction)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_prior_loss_of_orthogonal_features_is_two_per_position_and_level() -> None:
    one = [torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 5)] * 3
    other = [torch.tensor([0, 7.0, 0]).view(1, 3, 1, 1).expand(2, 3, 4, 5)] * 3
    assert losses.prior_loss(one, other, None, "mean_hw").item() == pytest.approx(6, rel=1e-6)
    assert losses.prior_loss(one, other, None, "sum_hw").item() == pytest.approx(120, rel=1e-6)
    assert losses.prior_loss(one, other, None, "mean_chw").item() == pytest.approx(2, rel=1e-6)


def test_prior_loss_ignores_the_scale_of_either_side() -> None:
    small = losses.prior_loss(prior(0), prior(1), None, "mean_hw")
    large = losses.prior_loss(prior(0, 300), prior(1, 0.01), None, "mean_hw")
    assert large.item() == pytest.approx(small.item(), rel=1e-5)


def test_prior_loss_weights_both_sides_by_the_attention() -> None:
    attention = [ChannelAttention(n) for n in (16, 32, 48)]
    weighted = [
        [ca(p) for ca, p in zip(attention, side, strict=True)] for side in (prior(0), prior(1))
    ]
    given = losses.prior_loss(prior(0), prior(1), attention, "mean_hw")
    assert torch.equal(given, losses.prior_loss(*weighted, None, "mean_hw"))
    assert given.item() != losses.prior_loss(prior(0), prior(1), None, "mean_hw").item()


def test_prior_loss_is_zero_for_equal_priors_and_grows_with_their_distance() -> None:
    mixed = [
        losses.prior_loss([(1 - t) * a + t * b for a, b in zip(prior(0), prior(1), strict=True)],
                          prior(0), None, "mean_hw").item()
        for t in (0.0, 0.2, 0.5, 1.0)
    ]  # fmt: skip
    assert mixed[0] == 0
    assert mixed == sorted(mixed)


def test_prior_loss_and_its_gradient_are_finite_where_features_vanish() -> None:
    predicted = [torch.zeros(1, 4, 2, 2, requires_grad=True) for _ in range(3)]
    loss = losses.prior_loss(predicted, [torch.ones(1, 4, 2, 2)] * 3, None, "mean_hw")
    loss.backward()
    assert loss.item() == pytest.approx(3)
    assert all(torch.isfinite(p.grad).all() for p in predicted)


def test_adversarial_losses_equal_the_logarithms_of_equations_6_and_8() -> None:
    real, fake = torch.tensor([[0.3, -1.2]]), torch.tensor([[2.0, 0.1]])
    p_real, p_fake = (1 / (1 + np.exp(-x.numpy())) for x in (real, fake))
    d_loss = -np.log(p_real).mean() - np.log(1 - p_fake).mean()
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(d_loss, rel=1e-6)
    assert losses.adversarial_loss(fake).item() == pytest.approx(-np.log(p_fake).mean(), rel=1e-6)


def test_an_undecided_discriminator_costs_two_log_two_and_certainty_stays_finite() -> None:
    zero = torch.zeros(2, 1, 3, 3)
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert losses.adversarial_loss(zero - 1e4).item() == pytest.approx(1e4)


def test_pixel_loss_is_the_mean_absolute_difference_in_float32() -> None:
    sharp = torch.zeros(2, 3, 4, 4)
    restored = torch.full_like(sharp, -0.25)
    restored[0] = 0.75
    loss = losses.pixel_loss(restored.bfloat16(), sharp)
    assert loss.item() == 0.5
    assert loss.dtype == torch.float32


def test_perceptual_loss_sums_mean_absolute_differences_over_layers() -> None:
    expected = sum(
        np.abs(a.numpy() - b.numpy()).mean() for a, b in zip(prior(0), prior(1), strict=True)
    )
    assert losses.perceptual_loss(prior(0), prior(1)).item() == pytest.approx(expected, rel=1e-6)


def test_unit_scale_divides_each_image_and_level_by_its_own_root_mean_square() -> None:
    levels = prior(0, 120.0)
    levels[0][1] *= 5
    for before, after in zip(levels, losses.unit_scale(levels), strict=True):
        rms = after.square().mean(dim=(1, 2, 3)).sqrt()
        torch.testing.assert_close(rms, torch.ones(2))
        ratio = before / after
        torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio))
