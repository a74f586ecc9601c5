from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage.data import astronaut

from dfpg.core.config import Augmentation
from dfpg.data.augmentation import face_views
from dfpg.evaluation.robustness.moved_faces import move_faces
from dfpg.evaluation.robustness.moves import AMOUNTS, MOVES, ROTATION, SCALE, SHIFT, STILL, Move

SIDE, SIZE = 96, 64  # the crop of 64 px lies in the middle of the picture: 16 px around it
CROP = SIZE / SIDE
EDGE = (SIDE - SIZE) // 2
NONE = Augmentation(random_crop=False, flip=False, rotation=0.0, color_jitter=0.0)
RIGHT, DOWN, LEFT, UP = range(4)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def moved(picture, move, direction=RIGHT, crop=CROP, size=SIZE):
    views, mirrored = move_faces(
        torch.from_numpy(picture[None]), crop, size, move, torch.tensor([direction])
    )
    return ((views + 1) * 127.5)[0].permute(1, 2, 0).numpy(), float(mirrored)


@pytest.mark.parametrize("direction", range(4))
def test_unmoved_it_is_the_centre_view_to_the_bit(direction):
    picture = astronaut()[20:180, 130:290]
    view, mirrored = move_faces(
        torch.from_numpy(picture[None].copy()), 0.875, 64, STILL, torch.tensor([direction])
    )
    plain = face_views(torch.from_numpy(picture[None].copy()), 0.875, NONE, 64, None)
    assert torch.equal(view, plain)
    assert float(mirrored) == 0


@pytest.mark.parametrize(
    ("direction", "top", "left"),
    [(RIGHT, 0, -1), (DOWN, -1, 0), (LEFT, 0, 1), (UP, 1, 0)],
)
@pytest.mark.parametrize("pixels", [2, 4, 8, 16])
def test_shift_shows_the_stored_picture_that_many_pixels_further(
    picture, direction, top, left, pixels
):
    """The face moves right where the window on the picture moves left."""
    view, mirrored = moved(picture, Move(SHIFT, 100 * pixels / SIZE), direction)
    y, x = EDGE + top * pixels, EDGE + left * pixels
    np.testing.assert_allclose(view, picture[y : y + SIZE, x : x + SIZE], atol=0.02)
    assert mirrored == 0


def test_beyond_the_picture_is_its_mirror_image(picture):
    view, mirrored = moved(picture, Move(SHIFT, 25.0), RIGHT, crop=1.0, size=SIDE)
    pixels = SIDE // 4
    np.testing.assert_allclose(view[:, pixels:], picture[:, :-pixels], atol=0.02)
    np.testing.assert_allclose(view[:, :pixels], picture[:, :pixels][:, ::-1], atol=0.02)
    assert mirrored == 0.25


@pytest.mark.parametrize(("degrees", "turns"), [(90.0, 1), (180.0, 2)])
def test_quarter_turns_are_exact(picture, degrees, turns):
    plain = picture[EDGE:-EDGE, EDGE:-EDGE]
    for direction, way in ((0, -1), (1, 1), (2, -1), (3, 1)):  # numpy turns anticlockwise
        view, _ = moved(picture, Move(ROTATION, degrees), direction)
        np.testing.assert_allclose(view, np.rot90(plain, way * turns), atol=0.02)


def ramp(slope_x, slope_y):
    """A picture whose grey level is linear in place, so that sampling between pixels is exact."""
    line = np.arange(SIDE) + 0.5 - SIDE / 2
    grey = 127.5 + slope_x * line[None, :] + slope_y * line[:, None]
    return np.repeat(grey[..., None], 3, 2)


def sampled(slopes, move, direction=0):
    """Moved view of a ramp, in grey levels, with the float picture put in for the uint8 one."""
    picture = torch.from_numpy(ramp(*slopes)[None]).float()
    view, _ = move_faces(picture, CROP, SIZE, move, torch.tensor([direction]))
    return ((view + 1) * 127.5)[0, 0].numpy()


@pytest.mark.parametrize("degrees", [5.0, 10.0, 20.0])
def test_a_turned_ramp_is_the_ramp_of_the_turned_slope(degrees):
    """Clockwise as seen, x to the right and y down: slope (a, 0) becomes a (cos, sin)."""
    angle, line = math.radians(degrees), np.arange(SIZE) + 0.5 - SIZE / 2
    x, y = line[None, :], line[:, None]
    for direction, sign in ((0, 1), (1, -1)):
        view = sampled((1.0, 0.0), Move(ROTATION, degrees), direction)
        expected = 127.5 + math.cos(angle) * x + sign * math.sin(angle) * y
        np.testing.assert_allclose(view, expected, atol=0.01)


@pytest.mark.parametrize("factor", AMOUNTS[SCALE])
def test_a_scaled_ramp_has_its_slope_divided(factor):
    line = np.arange(SIZE) + 0.5 - SIZE / 2
    view = sampled((0.9, -0.6), Move(SCALE, factor))
    expected = 127.5 + (0.9 * line[None, :] - 0.6 * line[:, None]) / factor
    np.testing.assert_allclose(view, expected, atol=0.01)


def test_a_scale_of_two_is_a_crop_of_half_the_side():
    picture = astronaut()[20:180, 130:290].copy()
    view, _ = moved(picture, Move(SCALE, 2.0), crop=0.8)
    half = face_views(torch.from_numpy(picture[None]), 0.4, NONE, SIZE, None)
    np.testing.assert_allclose(view, ((half + 1) * 127.5)[0].permute(1, 2, 0).numpy(), atol=0.01)


def test_each_face_goes_its_own_way(picture):
    pictures = torch.from_numpy(np.stack([picture] * 4))
    views, _ = move_faces(pictures, CROP, SIZE, Move(SHIFT, 12.5), torch.arange(4))
    for direction in range(4):
        alone, _ = moved(picture, Move(SHIFT, 12.5), direction)
        together = ((views[direction] + 1) * 127.5).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(together, alone)


def test_the_unmoved_face_comes_first_and_every_move_has_its_own_name():
    assert MOVES[0] == STILL
    assert len({move.mode for move in MOVES}) == len(MOVES) == 16
    assert Move(SHIFT, 3.125).mode == "shift 3.125"
    for amount in AMOUNTS[SHIFT]:
        assert (amount / 100 * 32).is_integer()  # of the smallest image size
