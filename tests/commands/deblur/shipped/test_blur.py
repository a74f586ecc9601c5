"""Kernels of every size stay kernels; batches draw all of them, of both families."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.kernels import kernel_bank

from dfpg.commands.deblur.shipped.blur import (
    SIDES,
    SMALL_SIDES,
    AnyBlur,
    count_kernels,
    kernel_of_side,
    shrink,
)
from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.blur.kernels import FAMILIES, canvas_size, centroids
from dfpg.data.faces.dataset import FaceSet
from dfpg.methods.batch import NO_BLUR
from dfpg.training.batches import ViewInputs, centre_kernels

CPU = torch.device("cpu")
RUN = "dfpg_b"
IMAGES = 64


@pytest.fixture(scope="module")
def banks(config):
    return {family: kernel_bank(config, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def faces():
    pictures = np.random.default_rng(0).integers(60, 190, (8, 48, 48, 3), np.uint8)
    people = tuple(f"p{index}" for index in range(8))
    return FaceSet(pictures, people, people, np.zeros((8, 5, 2), np.float32))


@pytest.fixture
def view(config, banks, faces):
    def make(seed=0, noise=2.55):
        training = config.training.model_copy(update={"batch_size": IMAGES})
        b = config.protocols["b"].model_copy(update={"size_draw": "image", "noise": noise})
        changes = {"seed": seed, "training": training, "protocols": config.protocols | {"b": b}}
        used = config.model_copy(update=changes)
        return AnyBlur(ViewInputs(used, RUN, faces, banks["spline"], CPU), banks["trajectory"])

    return make


def test_the_sides_are_the_odd_ones_up_to_the_largest_kernel():
    assert list(SIDES) == list(range(3, 28, 2))


@pytest.mark.parametrize("side", [3, 5, 9, 11])
def test_a_kernel_that_is_shrunk_keeps_its_weight_and_its_centroid(side):
    own = 13
    kernels = np.random.default_rng(2).random((20, own, own)) ** 8
    kernels = (kernels / kernels.sum((1, 2), keepdims=True)).astype(np.float32)
    small = np.stack([shrink(kernel, side) for kernel in kernels])
    assert small.shape == (20, side, side)
    assert small.dtype == np.float32
    assert (small >= 0).all()
    np.testing.assert_allclose(small.sum((1, 2)), 1, rtol=1e-6)
    scale = (side - 1) / (own - 1)
    np.testing.assert_allclose(centroids(small), centroids(kernels) * scale, atol=1e-5)


def test_a_line_is_shrunk_to_a_line_of_the_same_direction_and_the_shorter_length():
    own, side = 27, 9
    line = np.zeros((own, own), np.float32)
    line[own // 2] = 1 / own
    small = shrink(line, side)
    np.testing.assert_allclose(np.delete(small, side // 2, 0), 0, atol=1e-9)
    # A pixel has the weight of 26 / 8 pixels, the outermost, which share with one side only, of
    # half of that and of the half pixel at the end.
    np.testing.assert_allclose(small[side // 2, 1:-1], 26 / 8 / own, rtol=0.03)
    np.testing.assert_allclose(small[side // 2, [0, -1]], (26 / 8 + 1) / 2 / own, rtol=0.03)


def test_shrinking_aliases_nothing():
    """A pattern finer than the pixels becomes even, not a coarser pattern."""
    board = np.indices((25, 25)).sum(0) % 2
    small = shrink((board / board.sum()).astype(np.float32), 5)
    assert np.ptp(small[1:-1, 1:-1]) < 0.02 * small.max()


def test_the_own_side_changes_nothing_and_side_1_is_a_delta():
    kernel = np.random.default_rng(3).random((13, 13)).astype(np.float32)
    assert np.array_equal(shrink(kernel, 13), kernel)
    np.testing.assert_allclose(shrink(kernel / kernel.sum(), 1), [[1.0]], rtol=1e-6)
    assert np.array_equal(shrink(np.ones((1, 1), np.float32), 1), [[1.0]])


@pytest.mark.parametrize("side", [-1, 0, 4, 15])
def test_other_sides_are_refused(side):
    with pytest.raises(ValueError, match=f"13 px cannot be shrunk to {side} px"):
        shrink(np.ones((13, 13), np.float32), side)


def test_nominal_sizes_have_their_own_kernels_and_smaller_sides_all_of_them(config, banks):
    bank, size = banks["spline"].test, config.image_size
    for nominal in NOMINAL_SIZES:
        count = count_kernels(bank, nominal)
        assert count == len(bank[nominal])
        for number in (0, 1, count + 1):
            found = kernel_of_side(bank, nominal, number, size)
            assert np.array_equal(found, bank[nominal][number % count])
    for side in SMALL_SIDES:
        assert count_kernels(bank, side) == sum(map(len, bank.values()))
        canvas = canvas_size(side, size)
        for number, nominal in ((0, 13), (7, 27), (9, 15)):
            found = kernel_of_side(bank, side, number, size)
            assert np.array_equal(found, shrink(bank[nominal][number // 8], canvas))
    assert np.array_equal(kernel_of_side(bank, NO_BLUR, 3, size), [[1.0]])


def test_a_batch_is_a_function_of_seed_and_step(view):
    first, second = view(), view()
    torch.manual_seed(1)
    forward = [first.batch(step) for step in range(2)]
    torch.manual_seed(2)
    backward = [second.batch(step) for step in (1, 0)][::-1]
    for one, two in zip(forward, backward, strict=True):
        for field in dataclasses.fields(one):
            assert torch.equal(getattr(one, field.name), getattr(two, field.name))
    other = view(seed=1).batch(0)
    assert not torch.equal(other.kernels, forward[0].kernels)
    assert not torch.equal(forward[1].kernels, forward[0].kernels)


def test_batches_have_training_kernels_of_all_sides_and_both_families_in_equal_shares(
    config, view, banks
):
    source = view()
    batches = [source.batch(step) for step in range(10)]
    sizes = torch.cat([batch.size for batch in batches])
    kernels = torch.cat([batch.kernels for batch in batches]).numpy()
    counts = torch.bincount(sizes, minlength=28)
    assert counts.nonzero().flatten().tolist() == [NO_BLUR, *SIDES]
    assert counts[counts > 0].min() > len(sizes) / 14 / 2  # expected: 46 of each, deviation 7
    known = {
        side: {
            centre_kernels(found[None], source.canvas)[0].tobytes(): bank.family
            for bank in banks.values()
            for number in range(count_kernels(bank.train, side))
            for found in [kernel_of_side(bank.train, side, number, config.image_size)]
        }
        for side in SIDES
    }
    families = [
        known[side][k.tobytes()] for side, k in zip(sizes.tolist(), kernels, strict=True) if side
    ]
    assert families.count("spline") / len(families) == pytest.approx(0.5, abs=0.1)
    sharp = kernels[sizes == NO_BLUR]
    assert (sharp[:, source.canvas // 2, source.canvas // 2] == 1).all()


def test_noise_is_drawn_for_every_image_from_none_to_the_protocols(view):
    batches = [view(noise=noise).batch(0) for noise in (0.0, 2.55)]
    noise = (batches[1].blurred - batches[0].blurred) * 127.5
    levels = noise.flatten(1).std(1)
    assert levels.min() < 0.3
    assert 2.2 < levels.max() < 2.65
    assert levels.mean() == pytest.approx(2.55 / 2, abs=0.3)


def test_two_banks_of_one_family_are_refused(config, banks, faces):
    inputs = ViewInputs(config, RUN, faces, banks["spline"], CPU)
    with pytest.raises(UserError, match="the spline kernels at hand do not go with the spline"):
        AnyBlur(inputs, banks["spline"])
    wide = {
        k: centre_kernels(part, part.shape[-1] + 2) for k, part in banks["spline"].train.items()
    }
    with pytest.raises(UserError, match=f"{config.image_size} px: run `dfpg kernels`"):
        AnyBlur(inputs, dataclasses.replace(banks["trajectory"], train=wide))
