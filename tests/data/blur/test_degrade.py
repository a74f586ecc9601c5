from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve as ndimage_convolve
from scipy.signal import convolve

from dfpg.data.blur.degrade import add_noise, blur, quantise, quantise_unit, to_signed, to_unit


def random_case(count=3, side=32, kernel=9, channels=3):
    stream = torch.Generator().manual_seed(0)
    images = torch.rand(count, channels, side, side, generator=stream)
    kernels = torch.rand(count, kernel, kernel, generator=stream)
    return images, kernels / kernels.sum((1, 2), keepdim=True)


@pytest.mark.parametrize(("side", "kernel"), [(32, 5), (64, 15), (40, 27), (8, 1)])
def test_blur_equals_scipy_signal_on_reflected_borders(side, kernel):
    images, kernels = random_case(side=side, kernel=kernel)
    half = kernel // 2
    result = blur(images, kernels).numpy()
    for n in range(len(images)):
        for c in range(3):
            padded = np.pad(images[n, c].numpy().astype(np.float64), half, mode="reflect")
            expected = convolve(padded, kernels[n].numpy().astype(np.float64), "valid", "direct")
            np.testing.assert_allclose(result[n, c], expected, atol=2e-6)


def test_blur_equals_scipy_ndimage():
    images, kernels = random_case()
    expected = ndimage_convolve(images[0, 0].numpy(), kernels[0].numpy(), mode="mirror")
    np.testing.assert_allclose(blur(images, kernels)[0, 0], expected, atol=2e-6)


@pytest.mark.parametrize("kernel", [1, 7, 15, 27])
def test_a_delta_kernel_gives_the_input_back_exactly(kernel):
    images, kernels = random_case(side=64, kernel=kernel)
    kernels = torch.zeros_like(kernels)
    kernels[:, kernel // 2, kernel // 2] = 1
    assert torch.equal(blur(images, kernels), images)


def test_each_image_gets_its_own_kernel():
    images, kernels = random_case()
    alone = torch.cat([blur(images[n : n + 1], kernels[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(blur(images, kernels), alone, atol=1e-6, rtol=0)


def test_zeros_around_a_kernel_change_nothing():
    images, kernels = random_case()
    wide = torch.nn.functional.pad(kernels, (2, 2, 2, 2))
    torch.testing.assert_close(blur(images, wide), blur(images, kernels), atol=1e-6, rtol=0)


def test_autocast_does_not_lower_the_precision():
    images, kernels = random_case()
    expected = blur(images, kernels)
    with torch.autocast("cpu", torch.bfloat16):
        result = blur(images, kernels)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 9, 9), (3, 9, 7)])
def test_wrong_kernels_are_refused(shape):
    images, _ = random_case()
    with pytest.raises(ValueError, match="do not fit"):
        blur(images, torch.ones(shape))


def test_noise_has_the_stated_grey_levels_in_both_scales():
    noise = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    black = torch.zeros_like(noise)
    assert (add_noise(black, noise, 2.0, white=1) * 255).std().item() == pytest.approx(2, rel=0.01)
    assert add_noise(black, noise, 2.0, white=2).std().item() == pytest.approx(4 / 255, rel=0.01)


def test_quantisation_gives_every_grey_level_back():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(to_signed(levels)), levels)
    assert torch.equal(quantise_unit(to_unit(levels)), levels)


def test_quantisation_rounds_and_clips():
    grey = torch.tensor([-0.2, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.3])
    assert quantise_unit(grey).tolist() == [0, 0, 1, 255, 255]
    assert quantise(2 * grey - 1).tolist() == [0, 0, 1, 255, 255]
