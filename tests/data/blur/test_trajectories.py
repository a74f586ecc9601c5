from __future__ import annotations

import math

import numpy as np
import pytest

from dfpg.data.blur import trajectories
from dfpg.data.blur.descriptors import describe
from dfpg.data.blur.kernels import canvas_size
from dfpg.data.blur.trajectories import (
    LENGTH,
    ROUND,
    SAMPLES,
    draw_trajectories,
    rasterise,
    trajectory_kernels,
)


def kernels(count, nominal, size=128, seed=0):
    canvas = canvas_size(nominal, size)
    return trajectory_kernels(np.random.default_rng(seed), count, nominal, size, canvas)


@pytest.fixture(scope="module")
def paths():
    return draw_trajectories(np.random.default_rng(0))


def test_every_step_has_the_same_length(paths):
    assert paths.shape == (ROUND, SAMPLES)
    assert np.all(paths[:, 0] == 0)
    np.testing.assert_allclose(np.abs(np.diff(paths)), LENGTH / (SAMPLES - 1), rtol=1e-9)


def test_without_anxiety_the_camera_moves_straight(monkeypatch):
    monkeypatch.setattr(trajectories, "MAX_ANXIETY", 0.0)
    straight = draw_trajectories(np.random.default_rng(0))
    np.testing.assert_allclose(np.abs(straight[:, -1]), LENGTH, rtol=1e-9)


def test_a_strong_pull_keeps_the_camera_near_its_start(monkeypatch, paths):
    monkeypatch.setattr(trajectories, "MAX_CENTRIPETAL", 70.0)
    pulled = draw_trajectories(np.random.default_rng(0))
    assert np.median(np.abs(pulled).max(1)) < 0.5 * np.median(np.abs(paths).max(1))


def test_extent_of_the_trajectories_lies_in_stated_bounds(paths):
    # Of a path of 60 px: few are almost straight, most turn a few times.
    extent = np.maximum(np.ptp(paths.real, axis=1), np.ptp(paths.imag, axis=1))
    assert extent.max() < LENGTH
    assert 15 < np.median(extent) < 30
    assert np.quantile(extent, 0.95) > 40


def test_a_big_shake_turns_the_camera_round(monkeypatch):
    # v + 2 v exp(i (pi + u)) with |u| <= 0.5 points back: cos >= 0.6 towards -v.
    monkeypatch.setattr(trajectories, "MAX_GAUSSIAN", 0.0)
    monkeypatch.setattr(trajectories, "MAX_CENTRIPETAL", 0.0)
    monkeypatch.setattr(trajectories, "MAX_BIG_SHAKE", 2.0)
    steps = np.diff(draw_trajectories(np.random.default_rng(0)))
    cosine = (steps[:, 1:] * steps[:, :-1].conj()).real / np.abs(steps[0, 0]) ** 2
    turned = cosine < 1 - 1e-9
    assert 0 < turned.mean() < 0.2
    assert cosine[turned].max() < -0.6


def test_rasterise_equals_a_plain_loop():
    rng = np.random.default_rng(1)
    path = rng.uniform(-4, 4, (3, 40)) + 1j * rng.uniform(-4, 4, (3, 40))
    expected = np.zeros((3, 9, 9))
    for n, points in enumerate(path):
        for point in points:
            for row in range(9):
                for column in range(9):
                    down = max(0.0, 1 - abs(point.imag + 4 - row))
                    across = max(0.0, 1 - abs(point.real + 4 - column))
                    expected[n, row, column] += down * across / 40
    np.testing.assert_allclose(rasterise(path, 9), expected, atol=1e-12)


def test_rasterise_puts_whole_points_on_pixels_up_to_the_edge():
    kernel = rasterise(np.array([[2 + 2j, -2 - 2j]]), 5)[0]
    assert kernel[4, 4] == kernel[0, 0] == 0.5
    assert kernel.sum() == 1


@pytest.mark.parametrize("nominal", [13, 19, 27])
def test_support_is_centred(nominal):
    bank = kernels(256, nominal)
    for axis in (1, 2):
        used = (bank > 0).any(axis)
        np.testing.assert_array_equal(used.argmax(1), used[:, ::-1].argmax(1))


def test_larger_side_is_uniform_between_the_least_fill_and_all_of_the_nominal_size(monkeypatch):
    seen = []
    plain = trajectories.rasterise

    def spy(path, canvas):
        seen.append(path)
        return plain(path, canvas)

    monkeypatch.setattr(trajectories, "rasterise", spy)
    kernels(1024, 21)
    path = np.concatenate(seen)
    side = 1 + np.maximum(np.ptp(path.real, axis=1), np.ptp(path.imag, axis=1))
    least = 21 * trajectories.LEAST_FILL
    assert side.min() > least - 1e-9
    assert side.max() <= 21 + 1e-9
    assert side.mean() == pytest.approx((least + 21) / 2, abs=0.4)
    assert side.std() == pytest.approx((21 - least) / math.sqrt(12), abs=0.2)


# The kernel that Shen et al. 2018 released, 27 x 27 px: what `describe` says of it.
RELEASED = {
    "effective_pixels": 76.38,
    "support": 25,
    "path_length": 49.4,
    "turning": 209.2,
}


def test_the_released_kernel_lies_inside_the_distribution_of_every_descriptor():
    found = describe(kernels(512, 27, seed=1))
    for name, released in RELEASED.items():
        low, high = found[name].quantile([0.1, 0.9])
        assert low <= released <= high, name
    assert found["effective_pixels"].median() == pytest.approx(76, rel=0.1)


def test_centroids_are_off_the_middle():
    bank = kernels(256, 27).astype(np.float64)
    steps = np.arange(27) - 13
    offset = np.hypot(bank.sum(2) @ steps, bank.sum(1) @ steps)
    assert 1 < offset.mean() < 3
    assert np.median(offset) > 0.5


def test_non_negative_and_sum_one_at_every_image_size():
    for size in (32, 64, 96, 128, 160):
        bank = kernels(64, 19, size)
        assert bank.shape[-1] == canvas_size(19, size)
        assert bank.min() >= 0
        np.testing.assert_allclose(bank.astype(np.float64).sum((1, 2)), 1, atol=1e-6)


def test_a_longer_bank_begins_with_the_shorter_one():
    np.testing.assert_array_equal(kernels(ROUND + 3, 15, 64)[:5], kernels(5, 15, 64))
