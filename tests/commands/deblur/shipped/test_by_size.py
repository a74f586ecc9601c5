"""Gains by kernel size: closed forms of the network alone, and of the rule that leaves faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.kernels import kernel_bank

from dfpg.commands.deblur.restore import LEAST_CHANGE
from dfpg.commands.deblur.shipped.blur import SIDES, kernel_of_side
from dfpg.commands.deblur.shipped.by_size import (
    ALL,
    NOISE,
    Faces,
    SizeGain,
    gains_by_size,
    gains_of_kernels,
    size_table,
)
from dfpg.data.blur.degrade import blur, quantise_unit, to_unit
from dfpg.data.blur.kernels import FAMILIES
from dfpg.metrics.psnr import psnr

PEOPLE = 12
SIDE = 32


@pytest.fixture(scope="module")
def faces() -> Faces:
    rng = np.random.default_rng(0)
    blocks = rng.integers(60, 190, (PEOPLE, 8, 8, 3), np.uint8)
    sharp = blocks.repeat(SIDE // 8, 1).repeat(SIDE // 8, 2)
    return Faces("generated", sharp, tuple(f"p{number}" for number in range(PEOPLE)))


@pytest.fixture(scope="module")
def banks(config):
    return [kernel_bank(config, family) for family in FAMILIES]


class Towards:
    """Changes pictures by a share of the way to the sharp ones."""

    def __init__(self, faces: Faces, share: float) -> None:
        self.sharp, self.share = faces.sharp.astype(np.float32), share

    def change(self, pictures):
        return self.share * (self.sharp - pictures)


class Brighter:
    """Adds grey levels, whatever it is given."""

    def __init__(self, levels: float) -> None:
        self.levels = levels

    def change(self, pictures):
        return np.full(pictures.shape, self.levels, np.float32)


def rows_of(
    config, restorer, faces, banks, images=PEOPLE
) -> dict[tuple[str, str, float], SizeGain]:
    found = list(gains_by_size(config, restorer, faces, banks, images))
    assert len(found) == 2 + len(banks) * len(SIDES)
    return {(row.kernels, row.name, row.noise): row for row in found}


def test_every_size_of_both_families_is_measured_with_held_out_kernels(config, faces, banks):
    rows = rows_of(config, Brighter(0), faces, banks)
    assert {("none", "0", 0.0), ("none", "0", NOISE)} < set(rows)
    target = torch.from_numpy(faces.sharp).permute(0, 3, 1, 2)
    for bank in banks:
        for side in SIDES:
            row = rows[bank.family, str(side), 0.0]
            assert (row.faces, row.images, row.people) == ("generated", PEOPLE, PEOPLE)
            kernels = [kernel_of_side(bank.test, side, n, config.image_size) for n in range(PEOPLE)]
            images = blur(to_unit(target), torch.from_numpy(np.stack(kernels)))
            expected = psnr(quantise_unit(images), target).mean().item()
            # 8-bit pictures of which the smallest kernels change nothing are without blur.
            assert row.blurred is None or row.blurred == pytest.approx(expected, abs=1e-3)
    assert rows["spline", "27", 0.0].blurred < rows["spline", "13", 0.0].blurred
    noisy = 20 * np.log10(255 / NOISE)
    assert rows["none", "0", NOISE].blurred == pytest.approx(noisy, abs=0.3)


def test_half_the_error_is_six_decibels_and_a_small_change_is_not_made(config, faces, banks):
    rows = rows_of(config, Towards(faces, 0.5), faces, banks)
    strong = rows["spline", "27", 0.0]
    assert strong.left == strong.harmed == 0
    assert strong.gain == strong.rule_gain == pytest.approx(20 * np.log10(2), abs=0.1)
    assert strong.low <= strong.gain <= strong.high
    noisy = rows["none", "0", NOISE]  # half of 2.55 grey levels is below the limit
    assert (noisy.left, noisy.rule_gain, noisy.rule_low, noisy.harmed) == (1, 0, None, 0)
    assert strong.rule_low == strong.low
    assert noisy.gain > 4


@pytest.mark.parametrize(
    ("levels", "left", "rule_gain", "harmed"),
    [(LEAST_CHANGE - 0.5, 1.0, 0.0, 0.0), (LEAST_CHANGE + 0.5, 0.0, None, 1.0)],
)
def test_a_sharp_face_has_no_gain_unless_it_is_left(
    config, faces, banks, levels, left, rule_gain, harmed
):
    row = rows_of(config, Brighter(levels), faces, banks)["none", "0", 0.0]
    assert row.blurred is row.gain is row.low is None
    assert (row.left, row.rule_gain, row.harmed) == (left, rule_gain, harmed)
    assert row.restored == pytest.approx(20 * np.log10(255 / np.rint(levels)), abs=0.01)


def test_a_model_that_harms_says_so(config, faces, banks):
    row = rows_of(config, Brighter(60), faces, banks)["spline", "13", 0.0]
    assert row.gain == row.rule_gain < -1
    assert (row.left, row.harmed) == (0, 1)
    table = size_table([row])
    assert f"| generated | spline | 13 | {row.blurred:.2f} | {row.gain:+.2f} [" in table
    assert table.endswith("| 100% |")


def test_fewer_images_are_spread_over_the_faces(config, faces, banks):
    few = rows_of(config, Brighter(0), faces, banks[:1], images=3)["spline", "21", 0.0]
    assert (few.images, few.people) == (3, 3)
    assert few.low is few.high is None  # too few people for an interval
    spread = Faces("generated", faces.sharp[[0, 6, 11]], ("p0", "p6", "p11"))
    same = rows_of(config, Brighter(0), spread, banks[:1], images=3)["spline", "21", 0.0]
    assert same == few


def test_measured_kernels_are_judged_together_and_each(config, faces):
    kernels = {}
    for name, side in (("narrow", 5), ("wide", 9)):
        kernels[name] = np.zeros((side, side), np.float32)
        kernels[name][side // 2] = 1 / side  # a line along the rows
    whole, narrow, wide = gains_of_kernels(config, Brighter(20), faces, kernels, PEOPLE)
    assert [row.name for row in (whole, narrow, wide)] == [ALL, "narrow", "wide"]
    assert (whole.images, whole.people, narrow.images) == (2 * PEOPLE, PEOPLE, PEOPLE)
    assert wide.blurred < narrow.blurred
    assert whole.gain == pytest.approx((narrow.gain + wide.gain) / 2, abs=2e-3)
    assert whole.low < whole.gain < whole.high
