from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.portraits import faces, with_faces

from dfpg.commands.deblur.restore import (
    BATCH,
    LEAST_CHANGE,
    Restorer,
    restore_aligned,
    restore_faces,
)
from dfpg.commands.deblur.strip import FACES, LARGEST, aligned_strip, face_strip
from dfpg.core.errors import UserError
from dfpg.evaluation.restore import restore_in_precision
from dfpg.methods.registry import build_method
from dfpg.methods.weights import load_weights, save_weights

RUN = "nafnet"
CPU = torch.device("cpu")


class Brighten:
    """Stands in for a restorer: everything becomes 25 grey levels brighter."""

    size = 32

    def change(self, pictures: np.ndarray) -> np.ndarray:
        return np.full(pictures.shape, 25, np.float32)


@pytest.fixture
def method(config):
    """NAFNet in its identity start: it gives back what it gets."""
    return build_method(config, RUN, None)


@pytest.fixture
def identity(method, tmp_path) -> Restorer:
    save_weights(tmp_path / "w.safetensors", method, 0)
    return Restorer(tmp_path / "w.safetensors", CPU)


PLACES = [(100, 30, 300), (20, 380, 60), (220, 280, 110)]  # the last one overlaps the first


def test_a_method_that_changes_nothing_gives_the_photograph_back(identity):
    photograph, found = with_faces(420, 460, PLACES)
    restored, frames, _ = restore_faces(photograph, found, identity)
    assert np.array_equal(restored, photograph)
    assert len(frames) == 3
    assert np.array_equal(restore_aligned(photograph, identity), photograph)


def test_only_faces_change_and_each_of_them_does():
    photograph, found = with_faces(420, 460, PLACES)
    restored, _, _ = restore_faces(photograph, found, Brighten())
    moved = restored.astype(int) - photograph
    for top, left, side in PLACES:
        third = side // 3
        middle = np.s_[top + third : top + 2 * third, left + third : left + 2 * third]
        assert (moved[middle][photograph[middle] <= 230] == 25).all()
    assert moved.max() == 25  # also where two faces overlap
    assert not moved[:, 440:].any()
    assert not moved[:20].any()
    assert not moved[405:].any()


def test_many_faces_are_restored_in_batches(identity):
    pictures = faces().pictures[: BATCH + 3, :64, :64]
    assert np.abs(identity.change(pictures)).max() < 0.01


@pytest.mark.parametrize(("tiles", "precision"), [(False, "fp32"), (True, "bf16")])
def test_a_face_of_the_models_size_is_what_the_method_restores(
    config, method, tmp_path, set_cpu, tiles, precision
):
    """In bf16 where the CPU multiplies it natively, else in fp32."""
    set_cpu(bf16=True, amx=tiles)
    with torch.no_grad():
        for parameter in method.networks["generator"].parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch.Generator()))
    save_weights(tmp_path / "w.safetensors", method, 0)
    restorer = Restorer(tmp_path / "w.safetensors", CPU)
    load_weights(tmp_path / "w.safetensors", method)  # as they are stored
    restore = restore_in_precision(method.to(CPU), CPU, precision)
    size = config.image_size
    for shape in ((size, size), (size + 7, size)):
        face = faces().pictures[0][40 : 40 + shape[0], 40 : 40 + shape[1]].copy()
        image = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 127.5 - 1
        expected = (restore(image)[0].permute(1, 2, 0).numpy() + 1) * 127.5
        found = restore_aligned(face, restorer)
        assert np.abs(found - expected).max() <= 0.51
        full = (method.restore(image)[0].permute(1, 2, 0).numpy() + 1) * 127.5
        assert (expected == full).all() == (precision == "fp32")
        assert np.abs(expected - full).mean() < 0.5
        assert (found != face).mean() > 0.1


@pytest.mark.parametrize("shape", [(218, 178), (20, 25), (500, 96)])
def test_aligned_faces_of_any_size_and_shape(shape):
    photograph, _ = with_faces(*shape, [])
    assert np.array_equal(restore_aligned(photograph, Brighten()), photograph + 25)


def test_what_is_no_number_is_named(method, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, method, 0)
    restorer = Restorer(path, CPU)
    restorer._method.restore = lambda images: images * torch.nan
    with pytest.raises(UserError, match="train the run again"):
        restorer.change(faces().pictures[:1])


def test_strip_shows_the_largest_faces_before_and_after():
    photograph, found = with_faces(420, 460, PLACES)
    restored, frames, _ = restore_faces(photograph, found, Brighten())
    strip = face_strip(photograph, restored, frames)
    side = round(frames[0].side)
    assert strip.shape == (16 + 3 * side + 2 * 4, 2 * side + 4, 3)
    middle = np.s_[16 + side // 2, side // 2]
    after = np.s_[16 + side // 2, side + 4 + side // 2]
    assert (strip[after].astype(int) - strip[middle] == 25).all()
    many = face_strip(photograph, restored, frames * 9)
    assert many.shape[0] == 16 + FACES * (side + 4) - 4
    large = np.zeros((600, 900, 3), np.uint8)
    assert aligned_strip(large, large).shape == (16 + LARGEST * 2 // 3, 2 * LARGEST + 4, 3)


def test_strength_is_the_share_of_the_change():
    photograph, found = with_faces(420, 460, PLACES[:1])
    half, _, left = restore_faces(photograph, found, Brighten(), strength=0.4)
    assert (half.astype(int) - photograph).max() == 10
    assert left == [False]
    none = restore_faces(photograph, found, Brighten(), strength=0).pixels
    assert np.array_equal(none, photograph)
    aligned = restore_aligned(np.full((64, 64, 3), 100, np.uint8), Brighten(), 0.4)
    assert (aligned == 110).all()


class BrightenByPlace(Brighten):
    """Changes the first face much and the others hardly."""

    def change(self, pictures: np.ndarray) -> np.ndarray:
        change = np.full(pictures.shape, LEAST_CHANGE - 0.01, np.float32)
        change[0] = LEAST_CHANGE
        return change


def test_a_face_that_is_hardly_changed_stays_as_it_was_unless_unchecked():
    photograph, found = with_faces(420, 460, PLACES[:2])
    checked = restore_faces(photograph, found, BrightenByPlace(), check=True)
    assert checked.left == [False, True]
    moved = checked.pixels.astype(int) - photograph
    assert moved.any()
    assert not moved[20:80, 390:].any()
    weak = restore_faces(photograph, found, BrightenByPlace(), strength=0.5, check=True)
    assert weak.left == [False, True]  # of the whole change, not of the share that is made
    free = restore_faces(photograph, found, BrightenByPlace())
    assert free.left == [False, False]
    assert (free.pixels.astype(int) - photograph)[20:80, 390:].any()
