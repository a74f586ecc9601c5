from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import make_interp_spline

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.blur.descriptors import support_sides
from dfpg.data.blur.kernels import canvas_size
from dfpg.data.blur.splines import (
    PROPOSALS,
    curve_pixels,
    propose,
    sketch_pixels,
    splat_matrix,
    spline_kernels,
)


def kernels(count, nominal, size=128, seed=0, margin=0):
    canvas = canvas_size(nominal, size)
    return spline_kernels(np.random.default_rng(seed), count, nominal, margin, size, canvas)


def middle_offsets(arrays):
    steps = np.arange(arrays.shape[-1]) - arrays.shape[-1] // 2
    wide = arrays.astype(np.float64)
    return np.stack([wide.sum(2) @ steps, wide.sum(1) @ steps], 1)


def test_pixels_equal_an_independent_interpolating_spline():
    control = np.random.default_rng(3).integers(0, 17, (20, 6, 2))
    masks = curve_pixels(control, 17)
    for points, mask in zip(control, masks, strict=True):
        curve = make_interp_spline(np.linspace(0, 1, 6), points.astype(float), k=3)
        visited = np.clip(curve(np.linspace(0, 1, 30_000)), 0, 16).round().astype(int)
        assert {(r, c) for r, c in visited.tolist()} == set(map(tuple, np.argwhere(mask).tolist()))


def test_control_points_at_the_ends_are_visited():
    control = np.random.default_rng(0).integers(0, 9, (50, 6, 2))
    masks = curve_pixels(control, 9)
    every = np.arange(50)
    assert masks[every, control[:, 0, 0], control[:, 0, 1]].all()
    assert masks[every, control[:, -1, 0], control[:, -1, 1]].all()


@pytest.mark.parametrize("nominal", [13, 27])
def test_rounded_centroid_is_the_middle_pixel_at_128_px(nominal):
    bank = kernels(200, nominal)
    assert bank.shape == (200, nominal, nominal)
    assert np.abs(middle_offsets(bank)).max() <= 0.5 + 1e-6
    assert support_sides(kernels(200, nominal, margin=4)).max() <= nominal - 4


def plain_rejection(rng, inner, nominal):
    """What the source does: each curve is drawn in full, centred, and kept if it fits."""
    control = rng.integers(0, inner, (PROPOSALS, 6, 2))
    noise = rng.standard_normal((PROPOSALS, inner, inner))
    accepted = []
    for points, deviates in zip(control, noise, strict=True):
        kernel = curve_pixels(points[None], inner)[0] * np.maximum(0, 1 + 0.5 * deviates)
        if kernel.sum() == 0:
            continue
        kernel /= kernel.sum()
        margins = []
        for axis in (0, 1):  # zeros on the shorter side make the centroid's pixel the middle one
            before = int((kernel.sum(1 - axis) @ np.arange(inner)) + 0.5)
            after = inner - 1 - before
            around = (nominal - 2 * max(before, after) - 1) // 2
            margins.append((around + max(0, after - before), around + max(0, before - after)))
        if min(map(min, margins)) >= 0:
            accepted.append(np.pad(kernel, margins))
    return accepted


@pytest.mark.parametrize(
    ("nominal", "margin", "times"),
    [
        (13, 0, 2),
        (21, 3, 2),
        *(
            pytest.param(nominal, margin, 6, marks=pytest.mark.slow)
            for nominal, margin in ((13, 0), (21, 3), (19, 0), (27, 0))
        ),
    ],
)
def test_the_sketch_rejects_no_kernel_that_plain_rejection_accepts(nominal, margin, times):
    """So both have one distribution: they are the same kernels, of 512 draws each time."""
    plain, quick = np.random.default_rng(nominal), np.random.default_rng(nominal)
    for _ in range(times):
        expected = plain_rejection(plain, nominal - margin, nominal)
        found = propose(quick, nominal - margin, nominal)
        assert len(found) == len(expected) > 0
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_sketch_visits_most_of_the_curves_pixels_and_no_others():
    control = np.random.default_rng(0).integers(0, 27, (200, 6, 2))
    sketch, curve = sketch_pixels(control, 27), curve_pixels(control, 27)
    assert not (sketch & ~curve).any()
    assert 0.9 < sketch.sum() / curve.sum() < 1


def test_non_negative_and_sum_one():
    for size in (32, 64, 128, 200):
        bank = kernels(70, 21, size)
        assert bank.min() >= 0
        np.testing.assert_allclose(bank.astype(np.float64).sum((1, 2)), 1, atol=1e-6)


def test_weights_are_clipped_normals():
    # Before normalisation a visited pixel weighs max(0, 1 + 0.5 n): mean 1.0042, and 2.28 % are 0.
    control = np.random.default_rng(0)
    visited, positive = 0, 0
    relative = []
    for _ in range(2):
        state = control.bit_generator.state
        masks = curve_pixels(control.integers(0, 11, (PROPOSALS, 6, 2)), 11)
        control.bit_generator.state = state
        accepted = propose(control, 11, 21)  # wide enough to accept every curve
        assert len(accepted) == PROPOSALS
        visited += masks.sum()
        positive += (accepted > 0).sum()
        scaled = accepted * masks.sum((1, 2))[:, None, None]
        relative.append(scaled[accepted > 0])
    assert 1 - positive / visited == pytest.approx(0.0228, abs=0.003)
    assert np.concatenate(relative).std() == pytest.approx(0.48, abs=0.03)


@pytest.mark.parametrize(("margin", "low", "high"), [(0, 0.01, 0.1), (4, 0.4, 1.0)])
def test_share_of_accepted_curves(margin, low, high):
    rng = np.random.default_rng(0)
    for nominal in (13, 27):
        accepted = len(propose(rng, nominal - margin, nominal))
        assert low <= accepted / PROPOSALS <= high


def test_a_longer_bank_begins_with_the_shorter_one():
    np.testing.assert_array_equal(kernels(130, 15)[:7], kernels(7, 15))


def test_splat_is_the_identity_at_scale_one():
    np.testing.assert_array_equal(splat_matrix(19, 19, 1.0), np.eye(19))


def test_splat_keeps_mass_and_scales_the_centroid():
    for nominal in NOMINAL_SIZES:
        matrix = splat_matrix(nominal, canvas_size(nominal, 64), 0.5)
        np.testing.assert_allclose(matrix.sum(0), 1, atol=1e-12)
        half = matrix.shape[0] // 2
        where = np.arange(-half, half + 1) @ matrix
        expected = 0.5 * (np.arange(nominal) - nominal // 2)
        np.testing.assert_allclose(where, expected, atol=1e-12)


def test_a_smaller_image_has_the_same_curve_scaled():
    large, small = kernels(60, 23, 128), kernels(60, 23, 64)
    np.testing.assert_allclose(middle_offsets(small), middle_offsets(large) / 2, atol=1e-6)


def test_enlarged_kernels_have_no_gaps():
    flat = np.ones(13) / 13
    wide = splat_matrix(13, 27, 2.0) @ flat
    assert wide[4:-4].min() > 0.9 * wide[4:-4].max()


def test_a_margin_without_room_is_a_user_error():
    with pytest.raises(UserError, match="inner_margin: 12"):
        kernels(1, 13, margin=12)
