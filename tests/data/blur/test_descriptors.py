"""Descriptors of drawn curves whose length, extent and turning are known."""

from __future__ import annotations

import numpy as np
import pytest

from dfpg.data.blur.descriptors import (
    describe,
    effective_pixels,
    path_lengths,
    support_sides,
    turning_angles,
)
from dfpg.data.blur.trajectories import rasterise

TIME = np.linspace(0, 1, 2000)


def drawn(path):
    return rasterise(np.asarray(path)[None], 27)


def line(degrees, length=20):
    return drawn((TIME - 0.5) * length * np.exp(1j * np.radians(degrees)))


def arc(degrees, radius=8):
    return drawn(radius * np.exp(1j * np.radians(degrees) * TIME))


def test_effective_pixels_of_equal_and_of_unequal_weights():
    kernels = np.zeros((3, 5, 5), np.float32)
    kernels[0, 2, 2] = 1
    kernels[1, 1:4, 1:4] = 1 / 9
    kernels[2, 0, :2] = 0.75, 0.25
    np.testing.assert_allclose(effective_pixels(kernels), [1, 9, 1.6], rtol=1e-6)


def test_support_is_the_larger_side_of_the_bounding_box():
    kernels = np.zeros((2, 7, 7), np.float32)
    kernels[0, 1, 2] = 1
    kernels[1, 3, [1, 4]] = 0.5
    assert support_sides(kernels).tolist() == [1, 4]


@pytest.mark.parametrize("degrees", [0, 10, 22.5, 30, 45, 80])
def test_a_straight_line_has_its_length_and_hardly_turns(degrees):
    assert path_lengths(line(degrees))[0] == pytest.approx(20, rel=0.1)
    assert turning_angles(line(degrees))[0] < 35


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_an_arc_has_its_length_and_turns_by_its_angle(degrees):
    assert path_lengths(arc(degrees))[0] == pytest.approx(8 * np.radians(degrees), rel=0.1)
    assert degrees - 40 <= turning_angles(arc(degrees))[0] <= degrees + 10


def test_turns_to_both_sides_add_up():
    wave = 2 * np.pi * TIME
    kernel = drawn(24 * (TIME - 0.5) + 6j * np.sin(wave))
    steepest = np.degrees(np.arctan(6 * 2 * np.pi / 24))
    # Down from the steepest, twice through it, and up again.
    assert turning_angles(kernel)[0] == pytest.approx(4 * steepest, rel=0.2)


def test_path_of_two_branches_counts_both():
    cross = np.concatenate([20 * (TIME - 0.5), 20j * (TIME - 0.5)])
    assert path_lengths(drawn(cross))[0] == pytest.approx(40, rel=0.1)


def test_a_closed_line_is_described():
    found = describe(arc(360)).iloc[0]
    assert found["path_length"] == pytest.approx(8 * 2 * np.pi, rel=0.1)
    assert 120 < found["turning"] < 200  # its spine is one half of it


def test_a_single_pixel_has_no_length_and_no_turn():
    kernel = np.zeros((1, 5, 5), np.float32)
    kernel[0, 2, 2] = 1
    assert describe(kernel).iloc[0].tolist() == [1, 1, 0, 0]
