"""Measures of parts at work, per image, that several methods share; see dfpg.paper.mechanisms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from dfpg.core.seeds import generator
from dfpg.data.blur.blind import Recipe, degrade, draw_degradation
from dfpg.data.blur.degrade import quantise
from dfpg.methods.losses import EPSILON
from dfpg.metrics.psnr import psnr

if TYPE_CHECKING:
    from dfpg.methods.base import Method


def cosine(one: Tensor, two: Tensor) -> Tensor:
    """Cosine similarity [N] of two feature maps [N, C, H, W], mean over positions."""
    found = functional.cosine_similarity(one.float(), two.float(), dim=1)  # 0 where a vector is 0
    return found.mean(dim=(1, 2))


def correlation(rows: Tensor, reference: Tensor) -> Tensor:
    """Pearson correlation [N] of rows [N, C] with a reference [C]."""
    one = rows - rows.mean(dim=1, keepdim=True)
    two = reference - reference.mean()
    lengths = one.square().sum(dim=1).sqrt() * two.square().sum().sqrt()
    return (one * two).sum(dim=1) / lengths.clamp_min(EPSILON)


def soft_iou(one: Tensor, two: Tensor) -> Tensor:
    """Intersection over union [N] of class maps [N, K, H, W] in [0, 1], mean over classes."""
    least = one.minimum(two).sum(dim=(2, 3))
    most = one.maximum(two).sum(dim=(2, 3))
    return (least / most.clamp_min(EPSILON)).mean(dim=1)


def parsing_measures(made: Tensor, sharp: Tensor) -> dict[str, Tensor]:
    """``parsing_iou`` of the maps of blurred and of sharp faces, and what it gains.

    ``parsing_iou_gain``: how much more that is than the mean map of the sharp faces has, which
    would do where all faces stood alike. The maps of the sharp faces are the network's own: people
    whom nothing is trained on have no labels.

    Args:
        made: class maps [N, K, H, W] in [0, 1] of blurred faces.
        sharp: those of the same faces, sharp.
    """
    found = soft_iou(made, sharp)
    usual = soft_iou(sharp.mean(dim=0, keepdim=True).expand_as(sharp), sharp)
    return {"parsing_iou": found, "parsing_iou_gain": found - usual}


def own_degradation_gain(method: Method, sharp: Tensor, recipe: Recipe) -> dict[str, Tensor]:
    """``own_degradation_gain``: PSNR in dB over the input, on the degradation of the training.

    Args:
        method: a blind restorer.
        sharp: [N, 3, H, W] in [-1, 1].
        recipe: of its training.
    """
    seed = method.setting.seed
    stream = generator(seed, "mechanism", "degradation")
    drawn = draw_degradation(stream, recipe, len(sharp), sharp.shape[-1], seed)
    degraded, truth = degrade(sharp, drawn), quantise(sharp)
    gain = psnr(quantise(method.restore(degraded)), truth) - psnr(quantise(degraded), truth)
    return {"own_degradation_gain": gain}
