from __future__ import annotations

import numpy as np
import pytest

from dfpg.core.errors import UserError
from dfpg.data.faces.generic import LEAVES, PHOTOGRAPHS, dead_leaves, generic_pictures
from dfpg.pretrained.assets.store import asset_path


@pytest.fixture(scope="module")
def pictures():
    return generic_pictures(0, 48, 80)


def test_pictures_are_a_function_of_seed_and_index(pictures):
    again = generic_pictures(0, 12, 80)
    assert np.array_equal(again.pictures, pictures.pictures[:12])
    assert again.names == pictures.names[:12]
    assert not np.array_equal(generic_pictures(1, 2, 80).pictures, pictures.pictures[:2])
    assert len(np.unique(pictures.pictures.reshape(48, -1), axis=0)) == 48


def test_a_quarter_are_photographs(pictures):
    kinds = generic_pictures(3, 90, 16).people
    share = np.mean([kind != LEAVES for kind in kinds])
    assert 0.1 < share < 0.4
    assert set(kinds) == {LEAVES, *PHOTOGRAPHS}
    assert pictures.pictures.shape == (48, 80, 80, 3)
    assert pictures.pictures.dtype == np.uint8


def test_dead_leaves_have_the_spectrum_of_photographs():
    rng = np.random.default_rng(0)
    power = np.zeros((128, 128))
    for _ in range(12):
        grey = dead_leaves(rng, 128).mean(-1)
        power += np.abs(np.fft.fft2(grey - grey.mean())) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    ring = (frequency > 0.03) & (frequency < 0.3)
    slope = np.polyfit(np.log(frequency[ring]), np.log(power[ring]), 1)[0]
    assert -3.5 < slope < -1.5  # photographs: about -2


def test_colours_cover_the_range(pictures):
    leaves = pictures.pictures[[kind == LEAVES for kind in pictures.people]]
    assert leaves.min() < 20
    assert leaves.max() > 235
    assert np.abs(leaves.reshape(-1, 3).mean(0) - 127).max() < 25


def test_the_detector_finds_no_face(pictures):
    try:
        path = asset_path("scrfd")
    except UserError as error:
        pytest.skip(str(error))
    from dfpg.pretrained.detector import FaceDetector

    detector = FaceDetector(path)
    assert not any(detector(picture) for picture in pictures.pictures[::4])
