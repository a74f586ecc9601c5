"""Losses; those of the paper are named by their equations.

A *prior* is a list of three feature maps [N, C_i, H_i, W_i], finest level first. All losses are
float32 scalars, whatever the precision of the features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

PriorReduction = Literal["sum_hw", "mean_hw", "mean_chw"]

EPSILON = 1e-10  # under the root of the norm; the released code adds it to the norm


def pixel_loss(restored: Tensor, sharp: Tensor) -> Tensor:
    """Eq. 7: L1 distance of images in [-1, 1]; mean over elements, as in the released code."""
    return (restored.float() - sharp).abs().mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Eq. 6 on logits of D(P) and D(P-hat), each averaged over images and positions."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def adversarial_loss(fake: Tensor) -> Tensor:
    """Eq. 8 (non-saturating) on logits of D(P-hat), averaged over images and positions."""
    return F.softplus(-fake.float()).mean()


def unit_distance(one: Tensor, other: Tensor) -> Tensor:
    """Squared distance [N, H, W] of feature vectors that are scaled to length 1 (0 stays 0).

    As |a|^2 + |b|^2 - 2 ab, exact to about 1e-6: the scaled features and their difference are
    never written to memory.
    """
    one, other = one.float(), other.float()
    square, other_square = one.square().sum(dim=1), other.square().sum(dim=1)
    scale, other_scale = (square + EPSILON).rsqrt(), (other_square + EPSILON).rsqrt()
    lengths = square * scale * scale + other_square * other_scale * other_scale
    return lengths - 2 * ((one * other).sum(dim=1) * scale * other_scale)


def prior_loss(
    predicted: Sequence[Tensor],
    target: Sequence[Tensor],
    attention: Sequence[nn.Module] | None,
    reduction: PriorReduction,
) -> Tensor:
    """Eq. 9: squared distance of channel-normalised priors, summed over the three levels.

    Args:
        predicted: P-hat.
        target: P, of the same shapes.
        attention: the channel attention CA_i of Eq. 4, applied to both before the normalisation;
            None weights all channels equally (ablations B3 to B5).
        reduction: ``sum_hw``: Eq. 9 as printed, averaged over images only; ``mean_hw``: its mean
            over positions (assumed); ``mean_chw``: mean over channels too, as the released code
            does, without the dropout that the code puts in front of that mean.
    """
    total = torch.zeros((), device=predicted[0].device)
    for level, (estimate, truth) in enumerate(zip(predicted, target, strict=True)):
        if attention is not None:
            estimate, truth = attention[level](estimate), attention[level](truth)
        squared = unit_distance(estimate, truth)
        if reduction == "mean_chw":
            total = total + squared.mean() / estimate.shape[1]
        elif reduction == "mean_hw":
            total = total + squared.mean()
        else:
            total = total + squared.sum(dim=(1, 2)).mean()
    return total


def perceptual_loss(restored: Sequence[Tensor], sharp: Sequence[Tensor]) -> Tensor:
    """Mean L1 distance of features, summed over the layers given (ablation B2)."""
    pairs = zip(restored, sharp, strict=True)
    return torch.stack([(a.float() - b.float()).abs().mean() for a, b in pairs]).sum()


def unit_scale(prior: Sequence[Tensor]) -> list[Tensor]:
    """Each level of each image divided by its root mean square."""
    levels = [level.float() for level in prior]
    rms = [level.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() for level in levels]
    return [level / scale.clamp_min(EPSILON) for level, scale in zip(levels, rms, strict=True)]
