from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.drawings import blur_box, draw_faces
from scipy import ndimage
from skimage.metrics import structural_similarity

from dfpg.metrics.psnr import psnr
from dfpg.metrics.ssim import (
    SSIM_MATLAB_RGB,
    filter_matrix,
    gaussian_window,
    ssim_matlab_rgb,
    ssim_skimage,
    ssim_wang_rgb,
    uniform_window,
)

SHAPES = [(64, 64), (37, 50), (128, 128), (11, 11)]


def pairs(shape):
    """Blurred and sharp faces cut to ``shape``, and two unrelated noise pictures."""
    sharp = draw_faces(2, 128)[:, :, : shape[0], : shape[1]]
    rng = torch.Generator().manual_seed(3)
    noise = torch.randint(0, 256, (2, 3, *shape), generator=rng, dtype=torch.uint8)
    return torch.cat([blur_box(sharp), noise[:1]]), torch.cat([sharp, noise[1:]])


def as_arrays(images):
    return images.permute(0, 2, 3, 1).numpy().astype(np.float64)


def ssim_volume(x, y):
    """MATLAB's ssim of two volumes with scipy: Gaussian of radius 5 in all three axes."""

    def smooth(volume):
        # truncate 3.5 at sigma 1.5: radius int(3.5 * 1.5 + 0.5) = 5, a window of 11
        return ndimage.gaussian_filter(volume, sigma=1.5, truncate=3.5, mode="nearest")

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mx, my = smooth(x), smooth(y)
    vx, vy = smooth(x * x) - mx * mx, smooth(y * y) - my * my
    cov = smooth(x * y) - mx * my
    values = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return values.mean()


@pytest.mark.parametrize("shape", SHAPES)
def test_matlab_convention_equals_a_scipy_volume(shape):
    restored, sharp = pairs(shape)
    expected = [
        ssim_volume(x, y) for x, y in zip(as_arrays(restored), as_arrays(sharp), strict=True)
    ]
    np.testing.assert_allclose(ssim_matlab_rgb(restored, sharp).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_wang_convention_equals_scikit_image_with_its_gaussian(shape):
    restored, sharp = pairs(shape)
    expected = [
        structural_similarity(
            x,
            y,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for x, y in zip(as_arrays(restored), as_arrays(sharp), strict=True)
    ]
    np.testing.assert_allclose(ssim_wang_rgb(restored, sharp).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_skimage_convention_equals_its_default(shape):
    restored, sharp = pairs(shape)
    expected = [
        structural_similarity(x, y, channel_axis=2, data_range=255)
        for x, y in zip(as_arrays(restored), as_arrays(sharp), strict=True)
    ]
    np.testing.assert_allclose(ssim_skimage(restored, sharp).numpy(), expected, atol=1e-10)


def test_order_of_the_conventions_on_faces():
    # Published demonstration on one 128-px pair at 28.8 dB: volume 0.942 > valid 0.912
    # > per channel with replicate padding 0.898.
    sharp = draw_faces(6, 128)
    restored = blur_box(sharp, 13)
    assert psnr(restored, sharp).mean().item() == pytest.approx(28.8, abs=0.5)
    per_channel = dataclasses.replace(SSIM_MATLAB_RGB, volume=False)
    scores = [
        ssim_matlab_rgb(restored, sharp),
        ssim_wang_rgb(restored, sharp),
        per_channel.score(restored, per_channel.features(sharp)),
    ]
    for higher, lower in pairwise(scores):
        assert bool((higher > lower).all())


def test_windows_sum_to_one_and_have_the_named_width():
    window = gaussian_window()
    assert len(window) == 11
    assert sum(window) == pytest.approx(1, abs=1e-15)
    assert window[6] / window[5] == pytest.approx(np.exp(-0.5 / 1.5**2))
    assert uniform_window() == pytest.approx((1 / 7,) * 7)


@pytest.mark.parametrize("border", ["replicate", "valid"])
def test_filter_matrix_equals_scipy_correlation(border):
    rng = np.random.default_rng(0)
    window = tuple(rng.random(5))  # not symmetric: a flipped window would show
    signal = rng.random(20)
    expected = ndimage.correlate1d(signal, window, mode="nearest")
    if border == "valid":
        expected = expected[2:-2]
    matrix = filter_matrix(20, window, border, torch.device("cpu"))
    np.testing.assert_allclose(matrix.numpy() @ signal, expected, atol=1e-14)
