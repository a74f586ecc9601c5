from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from skimage.data import astronaut

from dfpg.core.config import Augmentation
from dfpg.data.augmentation import DRAWS, color_jitter, face_views

NONE = Augmentation(random_crop=False, flip=False, rotation=0.0, color_jitter=0.0)
FULL = Augmentation(random_crop=True, flip=True, rotation=270.0, color_jitter=0.5)
HALF = 0.5  # the draw that means: no offset, no flip, no rotation, factor 1


class Fixed:
    """A stream whose draws are all 0.5, but for those named."""

    def __init__(self, **draws: float) -> None:
        self.draws = draws

    def random(self, shape):
        columns = {"left": 0, "top": 1, "flip": 2, "angle": 3}
        values = np.full(shape, HALF)
        for name, draw in self.draws.items():
            values[:, columns[name]] = draw
        return values


def photograph(side):
    face = Image.fromarray(astronaut()[0:200, 120:320])
    return torch.from_numpy(np.array(face.resize((side, side), Image.Resampling.LANCZOS)))[None]


def grey(view):
    return ((view + 1) * 127.5)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("side", "size"), [(160, 64), (160, 128), (160, 32), (512, 64)])
def test_centre_view_is_as_good_as_pillows_resize_of_the_crop(side, size):
    picture = photograph(side)
    view = grey(face_views(picture, 0.875, FULL, size, None))
    edge = side // 16
    crop = Image.fromarray(picture[0, edge:-edge, edge:-edge].numpy())
    expected = crop.resize((size, size), Image.Resampling.BICUBIC)
    assert (
        np.abs(view - np.asarray(expected, np.float64)).mean() < 2
    )  # sampled without averaging: 2.7 to 6.7


def test_a_crop_of_the_wanted_size_is_given_back_exactly():
    picture = photograph(64)
    view = face_views(picture, 0.75, NONE, 48, None)
    np.testing.assert_allclose(grey(view), picture[0, 8:-8, 8:-8].numpy(), atol=0.01)


def test_flip_and_quarter_turn_are_exact():
    picture = photograph(160)
    plain = face_views(picture, 0.875, NONE, 64, None)
    flip = NONE.model_copy(update={"flip": True})
    flipped = face_views(picture, 0.875, flip, 64, Fixed(flip=0.0))
    torch.testing.assert_close(flipped, plain.flip(-1), atol=1e-4, rtol=0)
    turn = NONE.model_copy(update={"rotation": 90.0})
    turned = face_views(picture, 0.875, turn, 64, Fixed(angle=1.0))
    candidates = [plain.rot90(k, (-2, -1)) for k in (1, 3)]
    assert min((turned - other).abs().max().item() for other in candidates) < 1e-3


def test_an_unflipped_unturned_draw_is_the_centre_view():
    picture = photograph(160)
    centre = face_views(picture, 0.875, NONE, 64, None)
    torch.testing.assert_close(face_views(picture, 0.875, FULL, 64, Fixed()), centre)


def test_random_crop_reaches_the_corners_of_the_picture():
    picture = photograph(160)
    crop = NONE.model_copy(update={"random_crop": True})
    for draws, rows in (
        ({"left": 0, "top": 0}, slice(0, 140)),
        ({"left": 1, "top": 1}, slice(20, 160)),
    ):
        view = face_views(picture, 0.875, crop, 64, Fixed(**draws))
        expected = face_views(picture[:, rows, rows].contiguous(), 1.0, NONE, 64, None)
        torch.testing.assert_close(
            view[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-3, rtol=0
        )


def test_corners_of_a_turned_view_are_black_whatever_the_jitter():
    white = torch.full((4, 160, 160, 3), 255, dtype=torch.uint8)
    turn = FULL.model_copy(update={"rotation": 45.0})
    for seed in range(5):

        class Turned(Fixed):
            def random(self, shape, seed=seed):
                values = np.random.default_rng(seed).random(shape)
                values[:, 3] = 1.0
                return values

        views = face_views(white, 0.875, turn, 64, Turned())
        assert torch.all(views[:, :, [0, 0, -1, -1], [0, -1, 0, -1]] == -1)
        assert views[:, :, 32, 32].min() > -1


def test_views_are_in_range_and_repeatable():
    pictures = photograph(160).expand(8, -1, -1, -1)
    first, again = (
        face_views(pictures, 0.875, FULL, 64, np.random.default_rng(4)) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert first.shape == (8, 3, 64, 64)
    assert first.min() >= -1
    assert first.max() <= 1
    assert (first[0] - first[1]).abs().mean() > 0.05


def test_the_jitter_does_not_move_the_other_draws():
    pictures = photograph(160).expand(3, -1, -1, -1)
    plain = FULL.model_copy(update={"color_jitter": 0.0})
    streams = [np.random.default_rng(9) for _ in range(2)]
    face_views(pictures, 0.875, FULL, 32, streams[0])
    face_views(pictures, 0.875, plain, 32, streams[1])
    assert streams[0].random() == streams[1].random()
    assert DRAWS == 10


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("factors", [(0.5, 1.0, 1.0), (1.0, 0.5, 1.0), (1.3, 0.6, 1.5)])
def test_jitter_equals_pillows_enhancers(order, factors):
    picture = photograph(64)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    expected = Image.fromarray(picture[0].numpy())
    for kind in order:
        expected = enhancers[kind](expected).enhance(factors[kind])
    draws = np.zeros((1, 6))
    draws[0, :3] = np.array(factors) - 0.5  # factor = 1 + 0.5 (2 draw - 1)
    draws[0, 3:] = np.argsort(order) / 10
    images = picture.permute(0, 3, 1, 2) / 255
    result = color_jitter(images, draws, 0.5)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(result - np.asarray(expected, np.float64)).max() < 4
