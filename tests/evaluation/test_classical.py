from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage import data, transform

from dfpg.core.config import Classical, Config
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.degrade import blur
from dfpg.data.blur.kernels import KernelBank, make_kernels
from dfpg.evaluation.classical import ClassicalRows, gaussian, richardson_lucy, wiener
from dfpg.paper.tables import CEILING, FLOOR

SIDE = 64


@pytest.fixture(scope="module")
def config() -> Config:
    return resolve_profile("embedded")[0]


@pytest.fixture(scope="module")
def kernel(config) -> np.ndarray:
    return make_kernels(config.model_copy(update={
        "kernels": config.kernels.model_copy(update={
            "spline": config.kernels.spline.model_copy(update={"test": 3})})}),
        "spline", "test", 21)  # fmt: skip


@pytest.fixture(scope="module")
def sharp() -> np.ndarray:
    """Three crops of a photograph without people, uint8 [3, 3, 64, 64]."""
    picture = transform.resize(data.coffee(), (200, 300), anti_aliasing=True)
    crops = [picture[y : y + SIDE, x : x + SIDE] for y, x in ((20, 60), (70, 120), (100, 30))]
    return np.round(np.stack(crops).transpose(0, 3, 1, 2) * 255).astype(np.uint8)


def psnr(one: np.ndarray, two: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((one.astype(float) - two.astype(float)) ** 2).mean()))


def degrade(sharp: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    blurred = blur(torch.from_numpy(sharp).float() / 255, torch.from_numpy(kernels))
    return np.round(blurred.numpy() * 255).clip(0, 255).astype(np.uint8)


def test_a_gaussian_is_that_of_scipy_and_scales_with_the_image():
    kernel = gaussian(3.0, SIDE)  # 1.5 px at 64 px
    point = np.zeros(kernel.shape)
    point[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
    assert kernel == pytest.approx(gaussian_filter(point, 1.5, truncate=3.4), abs=2e-4)
    assert kernel.sum() == pytest.approx(1)
    assert gaussian(3.0, 128).shape[0] > kernel.shape[0]


def test_the_true_kernel_restores_more_than_one_gaussian(sharp, kernel):
    blurred = degrade(sharp, kernel)
    floor = psnr(richardson_lucy(blurred, gaussian(3.0, SIDE), 5), sharp)
    ceiling = psnr(wiener(blurred, list(kernel), 0.01), sharp)
    assert psnr(blurred, sharp) < floor < ceiling - 1


def test_a_wrong_kernel_does_not(sharp, kernel):
    blurred = degrade(sharp, kernel)
    right, wrong = (
        psnr(wiener(blurred, list(order), 0.01), sharp) for order in (kernel, kernel[[1, 2, 0]])
    )
    assert wrong < right - 1


def test_an_even_image_stays_even():
    """No border appears: the filters' own padding would darken it."""
    grey = np.full((1, 3, SIDE, SIDE), 120, np.uint8)
    assert np.abs(richardson_lucy(grey, gaussian(3.0, SIDE), 5).astype(int) - 120).max() <= 1
    assert np.abs(wiener(grey, [gaussian(3.0, SIDE)], 0.01).astype(int) - 120).max() <= 2


def test_every_row_gets_the_kernel_that_the_index_names(config, sharp, kernel):
    settings = {"b": Classical(sigma=3.0, steps=5, balance=0.01)}
    bank = KernelBank("spline", {}, {21: kernel})
    rows = pd.DataFrame({"size": 21, "kernel": [2, 0, 1]})
    blurred = degrade(sharp, kernel[[2, 0, 1]])
    found = ClassicalRows(settings, {"b": bank}, config.image_size).restore_rows("b", rows, blurred)
    assert set(found) == {FLOOR, CEILING}
    assert psnr(found[CEILING], sharp) == pytest.approx(
        psnr(wiener(blurred, list(kernel[[2, 0, 1]]), 0.01), sharp)
    )
