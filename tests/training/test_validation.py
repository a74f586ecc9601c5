from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from helpers.kernels import kernel_bank
from helpers.toys import Toy
from scipy.signal import convolve

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import quantise
from dfpg.data.faces.dataset import FaceSet
from dfpg.metrics.psnr import psnr
from dfpg.training.diagnostics import standard_error
from dfpg.training.validation import Validation

CPU = torch.device("cpu")


class Unchanged(Toy):
    """Restores nothing."""

    def infer(self, blurred):
        return blurred


class Darker(Unchanged):
    """Takes a number of grey levels off its input."""

    def __init__(self, levels: float) -> None:
        super().__init__()
        self.levels = levels

    def infer(self, blurred):
        return blurred - self.levels / 127.5


@pytest.fixture(scope="module")
def faces():
    coarse = np.random.default_rng(0).uniform(60, 200, (7, 6, 6, 3))
    pictures = coarse.repeat(8, 1).repeat(8, 2).round().astype(np.uint8)
    people = ("a", "a", "b", "b", "c", "d", "e")
    return FaceSet(pictures, people, tuple("1234567"), np.zeros((7, 5, 2), np.float32))


@pytest.fixture(scope="module")
def bank(config):
    return kernel_bank(config, "spline")


@pytest.fixture(scope="module")
def validation(config, faces, bank):
    return Validation(config, "b", faces, bank, CPU)


def test_sizes_come_equally_often_and_people_as_equally_as_they_can(config, validation):
    count = config.kernels.spline.validation
    assert Counter(validation.sizes.tolist()) == dict.fromkeys(NOMINAL_SIZES, count)
    images = Counter(validation.people)
    assert set(images) == set("abcde")
    assert max(images.values()) - min(images.values()) <= 1


def test_every_validation_kernel_is_used_once_and_none_is_no_blur(validation, bank):
    canvas = validation.kernels.shape[-1]
    for size in NOMINAL_SIZES:
        margin = (canvas - bank.validation[size].shape[-1]) // 2
        padded = np.pad(bank.validation[size], ((0, 0), (margin,) * 2, (margin,) * 2))
        used = validation.kernels[validation.sizes == size].numpy()
        assert sorted(map(bytes, used)) == sorted(map(bytes, padded))
    assert validation.kernels.amax(dim=(1, 2)).max() < 1
    assert validation.psnr_blurred.isfinite().all()


def test_images_are_the_centre_view_convolved_and_quantised(config, faces, validation):
    protocol = config.protocols["b"]
    assert protocol.test.noise == 0
    pictures = torch.from_numpy(faces.pictures)
    views = quantise(face_views(pictures, protocol.crop, protocol.augmentation, 32, None))
    for row in (0, 5, 15):
        face = views[validation.faces[row]]
        assert torch.equal(validation.sharp[row], face)
        kernel = validation.kernels[row].numpy()
        half = kernel.shape[0] // 2
        padded = np.pad(face.numpy() / 255, ((0, 0), (half, half), (half, half)), mode="reflect")
        expected = np.stack([convolve(channel, kernel, mode="valid") for channel in padded])
        found = validation.blurred[row].numpy()
        assert np.abs(found - (expected * 255)).max() <= 0.5 + 1e-3


def test_protocol_a_gets_the_noise_of_its_test_set(config, faces):
    bank = kernel_bank(config, "trajectory")
    found = Validation(config, "a", faces, bank, CPU)
    test = config.protocols["a"].test.model_copy(update={"noise": 0.0})
    quiet = config.protocols["a"].model_copy(update={"test": test})
    quiet = config.model_copy(update={"protocols": config.protocols | {"a": quiet}})
    silent = Validation(quiet, "a", faces, bank, CPU)
    added = found.blurred.float() - silent.blurred.float()
    assert added.std().item() == pytest.approx(config.protocols["a"].test.noise, rel=0.05)
    assert torch.equal(found.unblurred, silent.unblurred)


def test_the_same_seed_gives_the_same_images_and_another_others(config, faces, bank, validation):
    again = Validation(config, "b", faces, bank, CPU)
    assert torch.equal(again.blurred, validation.blurred)
    other = Validation(config.model_copy(update={"seed": 1}), "b", faces, bank, CPU)
    assert not torch.equal(other.blurred, validation.blurred)


def test_doing_nothing_gains_nothing_and_harms_nothing(validation):
    assert validation(Unchanged(), {}) == {
        "validation_gain": 0,
        "validation_gain_se": 0,
        "validation_unblurred_psnr": 60,
        "validation_people": len(set(validation.people)),
    }


def test_gain_is_over_the_blurred_images_and_unblurred_faces_stand_apart(validation):
    found = validation(Darker(10), {})
    darker = (validation.blurred.to(torch.int16) - 10).clamp(0, 255).to(torch.uint8)
    gain = psnr(darker, validation.sharp) - psnr(validation.blurred, validation.sharp)
    assert found["validation_gain"] == pytest.approx(float(gain.mean()))
    assert found["validation_gain"] < -0.1
    assert found["validation_unblurred_psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=0.01)


def test_restoring_uses_the_weights_given_and_leaves_the_method_alone(validation):
    method = Toy().train()
    own = {k: v.clone() for k, v in method.networks["generator"].state_dict().items()}
    zeros = {name: torch.zeros_like(value) for name, value in own.items()}
    grey = Darker(0)
    grey.infer = torch.zeros_like
    expected = validation(grey, {})["validation_gain"]
    assert validation(method, zeros)["validation_gain"] == pytest.approx(expected)
    state = method.networks["generator"].state_dict()
    assert all(torch.equal(value, own[name]) for name, value in state.items())
    assert all(network.training for network in method.networks.values())


def test_standard_error_is_that_of_the_mean_over_people():
    rng = np.random.default_rng(3)
    means = rng.normal(size=40)
    values = (means[:, None] + rng.normal(size=(40, 5)) * 0.1).ravel()
    people = [str(person) for person in range(40) for _ in range(5)]
    expected = values.reshape(40, 5).mean(1).std(ddof=1) / 40**0.5
    assert standard_error(values, people) == pytest.approx(expected)
    assert np.isnan(standard_error(values, ["one"] * 200))


def test_without_validation_people_training_does_not_begin(config, faces, bank):
    """Case 11."""
    none = FaceSet(faces.pictures[:0], (), (), faces.landmarks[:0])
    with pytest.raises(UserError, match=r"protocols\.b\.source: embedded has no .* 5% of") as error:
        Validation(config, "b", none, bank, CPU)
    assert "\n" not in str(error.value)
