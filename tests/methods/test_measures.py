from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from dfpg.methods.measures import correlation, cosine, parsing_measures, soft_iou


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_cosine_is_torchs_own():
    one, two = random(2, 5, 4, 3) - 0.5, random(2, 5, 4, 3, seed=1) - 0.5
    expected = F.cosine_similarity(one, two, dim=1).mean(dim=(1, 2))
    assert torch.allclose(cosine(one, two), expected, atol=1e-5)
    assert torch.allclose(cosine(one, 3 * one), torch.ones(2), atol=1e-5)


def test_correlation_is_numpys():
    rows, reference = random(4, 9), random(9, seed=1)
    expected = [np.corrcoef(row, reference)[0, 1] for row in rows.numpy()]
    assert correlation(rows, reference).numpy() == pytest.approx(np.array(expected), abs=1e-5)


def test_iou_of_sets_is_that_of_counting():
    one, two = (random(3, 2, 8, 8, seed=seed) > 0.5 for seed in (0, 1))
    expected = [
        np.mean([(a & b).sum() / (a | b).sum() for a, b in zip(x, y, strict=True)])
        for x, y in zip(one.numpy(), two.numpy(), strict=True)
    ]
    assert soft_iou(one.float(), two.float()).numpy() == pytest.approx(np.array(expected))


def test_a_map_that_follows_the_face_gains_over_the_mean_map():
    sharp = F.one_hot(torch.arange(16).reshape(4, 4).repeat(3, 1, 1) % 3).permute(0, 3, 1, 2)
    sharp = torch.stack([part.roll(number, 1) for number, part in enumerate(sharp.float())])
    follows = parsing_measures(sharp, sharp)
    assert torch.allclose(follows["parsing_iou"], torch.ones(3))
    assert (follows["parsing_iou_gain"] > 0.3).all()
    usual = parsing_measures(sharp.mean(dim=0, keepdim=True).expand_as(sharp), sharp)
    assert torch.allclose(usual["parsing_iou_gain"], torch.zeros(3), atol=1e-6)
