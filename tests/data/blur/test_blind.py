from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dfpg.data.blur.blind import (
    NOISE,
    QUALITY,
    REDUCTION,
    SIGMA,
    Degradation,
    degrade,
    draw_degradation,
    gaussians,
    jpeg,
)


def smooth(side):
    line = np.linspace(-1, 1, side, dtype=np.float32)
    y, x = np.meshgrid(line, line, indexing="ij")
    picture = np.stack([np.sin(3 * x + y), np.cos(2 * y), x * y]) * 0.7
    return torch.from_numpy(picture.astype(np.float32))[None]


def unharmed(side):
    """A degradation that does as little as it can."""
    delta = np.zeros((1, 3, 3), np.float32)
    delta[:, 1, 1] = 1
    return Degradation(
        kernels=delta,
        sides=np.array([side]),
        noise=np.zeros(1, np.float32),
        quality=np.array([100]),
        samples=np.random.default_rng(0).standard_normal((1, 3, side, side), np.float32),
    )


def test_draws_lie_in_the_papers_ranges():
    drawn = draw_degradation(np.random.default_rng(0), 400, 128)
    assert drawn.sides.min() >= 128 / REDUCTION[1] - 1
    assert drawn.sides.max() <= 128 / REDUCTION[0] + 1
    assert drawn.sides.min() < 20 < 150 < drawn.sides.max()
    for values, (low, high) in ((drawn.noise, NOISE), (drawn.quality, QUALITY)):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert drawn.kernels.shape == (400, 11, 11)
    np.testing.assert_allclose(drawn.kernels.sum((1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("side", [32, 64, 128, 512])
def test_reduced_pictures_never_get_smaller_than_the_least_side(side):
    drawn = draw_degradation(np.random.default_rng(1), 20, side)
    assert drawn.sides.min() >= max(16, side // 8)
    assert drawn.sides.max() <= drawn.samples.shape[-1]


def test_gaussians_have_the_stated_widths_and_direction():
    widths, angles = np.array([[3.0, 1.0], [2.0, 2.0]]), np.array([np.pi / 6, 0.3])
    kernels = gaussians(widths, angles, 41).astype(np.float64)
    line = np.arange(41) - 20
    for kernel, (first, second), angle in zip(kernels, widths, angles, strict=True):
        xx = (kernel.sum(0) * line**2).sum()
        yy = (kernel.sum(1) * line**2).sum()
        xy = (kernel * np.outer(line, line)).sum()
        found, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
        np.testing.assert_allclose(np.sqrt(found), sorted((first, second)), rtol=0.01)
        if first != second:
            x, y = vectors[:, 1]
            assert y / x == pytest.approx(np.tan(angle), rel=1e-3)


def test_the_mildest_degradation_leaves_the_picture():
    image = smooth(64)
    assert (degrade(image, unharmed(64)) - image).abs().mean() < 0.01


@pytest.mark.parametrize(
    "change",
    [
        {"kernels": gaussians(np.full((1, 2), SIGMA[1] / 4), np.zeros(1), 21)},
        {"sides": np.array([16])},
        {"noise": np.array([20], np.float32)},
        {"quality": np.array([5])},
    ],
)
def test_every_step_does_harm(change):
    rough = torch.from_numpy(
        np.random.default_rng(3).uniform(-0.6, 0.6, (1, 3, 16, 16)).astype(np.float32)
    )
    image = rough.repeat_interleave(4, 2).repeat_interleave(4, 3)
    mild = (degrade(image, unharmed(64)) - image).square().mean()
    harmed = (degrade(image, dataclasses.replace(unharmed(64), **change)) - image).square().mean()
    assert harmed > 2 * mild


def test_noise_has_the_stated_standard_deviation():
    image = torch.zeros(1, 3, 64, 64)
    noisy = degrade(image, dataclasses.replace(unharmed(64), noise=np.array([10], np.float32)))
    luma = (noisy * torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(1) * 127.5
    expected = 10 * np.sqrt(0.299**2 + 0.587**2 + 0.114**2)  # JPEG halves the colours' resolution
    assert luma.std().item() == pytest.approx(expected, rel=0.05)


def test_jpeg_gets_worse_with_its_quality():
    image = smooth(32)[0]
    errors = [(jpeg(image, quality) - image).abs().mean() for quality in (100, 60, 5)]
    assert errors[0] < errors[1] < errors[2]
    assert errors[0] < 0.02
