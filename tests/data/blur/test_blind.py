from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dfpg.data.blur.blind import (
    LI2020,
    MOTION_KERNELS,
    UNCOMPRESSED,
    WANG2021,
    Degradation,
    degrade,
    draw_degradation,
    gaussians,
    jpeg,
    motion_kernels,
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


def drawn_of(recipe, count, side, seed=0):
    return draw_degradation(np.random.default_rng(seed), recipe, count, side, 0)


@pytest.mark.parametrize("recipe", [WANG2021, LI2020])
def test_draws_lie_in_the_recipes_ranges(recipe):
    drawn = drawn_of(recipe, 300, 64)
    assert 16 <= drawn.sides.min() < 18
    assert drawn.sides.max() <= max(64, 64 / recipe.reduction[0]) + 1
    noise, quality = drawn.noise[drawn.noise > 0], drawn.quality[drawn.quality != UNCOMPRESSED]
    for values, (low, high) in ((noise, recipe.noise), (quality, recipe.quality)):
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    np.testing.assert_allclose(drawn.kernels.sum((1, 2)), 1, atol=1e-5)


def is_delta(kernels):
    middle = kernels.shape[-1] // 2
    return kernels[:, middle, middle] == 1


def test_shares_of_the_steps_are_dfdnets():
    count, wide = 1500, dataclasses.replace(LI2020, sigma=(8.0, 9.0))  # at 64 px above 1 px
    drawn = drawn_of(wide, count, 64)
    bank = motion_kernels(0, 64, drawn.kernels.shape[-1])
    moved = np.array([(kernel == bank).all((1, 2)).any() for kernel in drawn.kernels])
    found = {
        "blurred": 1 - is_delta(drawn.kernels).mean(),
        "motion": moved.mean(),
        "reduced": (drawn.sides != 64).mean(),
        "noisy": (drawn.noise > 0).mean(),
        "compressed": (drawn.quality != UNCOMPRESSED).mean(),
    }
    wanted = {"blurred": 0.9, "motion": 0.315, "reduced": 0.95, "noisy": 0.9, "compressed": 0.6}
    for name, share in wanted.items():
        error = (share * (1 - share) / count) ** 0.5
        assert found[name] == pytest.approx(share, abs=4 * error), name


def test_gfpgan_touches_every_picture_and_moves_none():
    drawn = drawn_of(WANG2021, 50, 128)
    assert (drawn.quality >= 60).all()
    assert not is_delta(drawn.kernels).all()
    np.testing.assert_allclose(drawn.kernels, drawn.kernels[:, ::-1, ::-1], atol=1e-6)


def test_motion_kernels_are_thirty_two_strokes_of_11_to_35_px():
    bank = motion_kernels(0, 512, 41)
    assert bank.shape == (MOTION_KERNELS, 41, 41)
    np.testing.assert_allclose(bank.sum((1, 2)), 1, atol=1e-5)
    spans = [
        max(np.ptp(np.flatnonzero(kernel.sum(axis) > 0)) + 1 for axis in (0, 1)) for kernel in bank
    ]
    assert 5 <= min(spans) < 12
    assert 25 < max(spans) <= 36
    assert len({kernel.tobytes() for kernel in bank}) == MOTION_KERNELS
    small = motion_kernels(0, 64, 5)
    assert small.shape == (MOTION_KERNELS, 5, 5)
    for kernel, large in zip(small, bank, strict=True):  # the same strokes at an eighth
        own, other = (
            (k.sum(0) * (np.arange(k.shape[-1]) - k.shape[-1] // 2)).sum() for k in (kernel, large)
        )
        assert own == pytest.approx(other / 8, abs=0.15)


@pytest.mark.slow
def test_another_seed_draws_other_strokes():
    assert not np.array_equal(motion_kernels(0, 64, 7), motion_kernels(1, 64, 7))


@pytest.mark.parametrize("side", [32, pytest.param(64, marks=pytest.mark.slow), 128])
def test_reduced_pictures_never_get_smaller_than_the_least_side(side):
    for recipe in (WANG2021, LI2020):
        still = dataclasses.replace(recipe, motion=0.0)  # strokes, of which it takes seconds
        drawn = drawn_of(still, 20, side, seed=1)
        assert drawn.sides.min() >= 16
        assert drawn.sides.max() <= drawn.samples.shape[-1]


def test_an_uncompressed_picture_is_not_rounded():
    image = smooth(64)
    plain = dataclasses.replace(unharmed(64), quality=np.array([UNCOMPRESSED]))
    torch.testing.assert_close(degrade(image, plain), image, atol=1e-6, rtol=0)


def test_every_recipe_makes_pictures_in_range():
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0)).mul(2).sub(1)
    for recipe in (WANG2021, LI2020):
        assert degrade(images, drawn_of(recipe, 6, 64)).abs().max() <= 1


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
        {"kernels": gaussians(np.full((1, 2), WANG2021.sigma[1] / 4), np.zeros(1), 21)},
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
