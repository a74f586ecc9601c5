from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from dfpg.metrics.psnr import psnr


def test_equals_scikit_image(sharp, blurred):
    expected = [
        peak_signal_noise_ratio(y.numpy(), x.numpy(), data_range=255)
        for x, y in zip(blurred, sharp, strict=True)
    ]
    np.testing.assert_allclose(psnr(blurred, sharp).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize(("difference", "expected"), [(1, 48.130804), (10, 28.130804), (255, 0)])
def test_constant_difference_has_the_closed_form(difference, expected):
    black = torch.zeros(1, 3, 9, 17, dtype=torch.uint8)
    assert psnr(black + difference, black).item() == pytest.approx(expected, abs=1e-6)


def test_error_is_joint_over_the_channels():
    black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    red = black.clone()
    red[:, 0] = 30  # MSE 900 in one channel of three: 300 jointly, not a mean of three PSNRs
    assert psnr(red, black).item() == pytest.approx(10 * np.log10(255**2 / 300))
