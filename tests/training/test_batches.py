from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.kernels import kernel_bank
from scipy.stats import chisquare

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.blur.degrade import blur
from dfpg.data.blur.kernels import FAMILIES, canvas_size
from dfpg.data.faces.dataset import FaceSet
from dfpg.training.batches import BatchSource


@pytest.fixture(scope="module")
def banks(config):
    return {family: kernel_bank(config, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(0)
    pictures = rng.uniform(30, 220, (10, 6, 6, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    names = tuple(map(str, range(10)))
    return FaceSet(pictures, names, names, np.zeros((10, 5, 2), np.float32))


@pytest.fixture
def source(config, banks, faces):
    def make(protocol, batch_size=4, used=config):
        bank = banks[used.protocols[protocol].kernels]
        return BatchSource(used, protocol, faces, bank, batch_size, torch.device("cpu"))

    return make


def equal(one, two):
    return all(
        torch.equal(getattr(one, field.name), getattr(two, field.name))
        for field in dataclasses.fields(one)
    )


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_a_batch_is_a_function_of_seed_protocol_and_step(config, source, protocol):
    first, second = source(protocol), source(protocol)
    torch.manual_seed(1)
    forward = [first.batch(step) for step in range(7)]
    torch.manual_seed(2)
    np.random.seed(3)
    backward = [second.batch(step) for step in reversed(range(7))][::-1]
    assert all(map(equal, forward, backward))
    assert not equal(forward[0], forward[1])
    other = source(protocol, used=config.model_copy(update={"seed": 1}))
    assert not equal(forward[0], other.batch(0))


def test_shapes_and_ranges(config, source):
    side = config.image_size
    canvas = canvas_size(27, side)
    for protocol in ("a", "b"):
        batch = source(protocol).batch(0)
        assert batch.sharp.shape == batch.blurred.shape == (4, 3, side, side)
        assert batch.kernels.shape == (4, canvas, canvas)
        assert batch.size.dtype == batch.faces.dtype == torch.int64
        assert batch.sharp.abs().max() <= 1
        torch.testing.assert_close(batch.kernels.sum((1, 2)), torch.ones(4))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 25])
def test_each_face_comes_once_per_epoch(source, batch_size):
    made = source("b", batch_size)
    steps = -(-40 // batch_size)
    seen = np.concatenate([made.face_indices(step) for step in range(steps)])
    epochs = seen[:40].reshape(4, 10)
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) > 1


def test_batches_name_the_faces_they_show(config, source, faces):
    made = source("a")
    plain = config.protocols["a"].augmentation.model_copy(update={"flip": False})
    settings = config.protocols["a"].model_copy(update={"augmentation": plain})
    fixed = config.model_copy(update={"protocols": config.protocols | {"a": settings}})
    batch = source("a", used=fixed).batch(2)
    assert batch.faces.tolist() == made.face_indices(2).tolist()
    means = torch.from_numpy(faces.pictures[:, 3:-3, 3:-3].mean((1, 2)))[batch.faces]
    torch.testing.assert_close(
        (batch.sharp.double().mean((2, 3)) + 1) * 127.5, means, atol=1.0, rtol=0
    )


def test_protocol_b_draws_one_of_nine_keys_per_batch(source):
    made = source("b", 2)
    sizes = [made.sizes(step) for step in range(900)]
    assert all(size[0] == size[1] for size in sizes)
    assert made.batch(5).size.tolist() == sizes[5].tolist()
    keys, counts = np.unique([size[0] for size in sizes], return_counts=True)
    assert keys.tolist() == [0, *NOMINAL_SIZES]
    assert chisquare(counts).pvalue > 1e-4


def test_protocol_a_draws_a_size_per_image_and_always_blurs(source):
    made = source("a", 8)
    sizes = np.concatenate([made.sizes(step) for step in range(100)])
    keys, counts = np.unique(sizes, return_counts=True)
    assert keys.tolist() == list(NOMINAL_SIZES)
    assert chisquare(counts).pvalue > 1e-4
    assert made.batch(5).size.tolist() == sizes[40:48].tolist()


def with_device_noise(config):
    training = config.training.model_copy(update={"noise_on_device": True})
    return config.model_copy(update={"training": training})


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_the_device_draws_noise_anew_for_every_step_and_nothing_else(config, source, protocol):
    usual, drawn = source(protocol, 16), source(protocol, 16, with_device_noise(config))
    torch.manual_seed(1)
    batches = [drawn.batch(step) for step in range(8)]
    torch.manual_seed(2)
    assert all(equal(batch, drawn.batch(step)) for step, batch in reversed([*enumerate(batches)]))
    noise = [batch.blurred - blur(batch.sharp, batch.kernels) for batch in batches]
    grey_levels = config.protocols[protocol].noise
    assert (torch.cat(noise) * 127.5).std().item() == pytest.approx(grey_levels, rel=0.01)
    assert (torch.cat(noise) * 127.5).mean().abs() < 0.05
    correlation = torch.corrcoef(torch.stack([part.flatten() for part in noise])).fill_diagonal_(0)
    assert correlation.abs().max() < 0.02
    for step, batch in enumerate(batches):
        other = usual.batch(step)
        assert not torch.equal(batch.blurred, other.blurred)
        assert equal(dataclasses.replace(batch, blurred=other.blurred), other)


@pytest.mark.parametrize(("protocol", "grey_levels"), [("a", 2.55), ("b", 2.0)])
def test_noise_has_the_stated_standard_deviation(source, protocol, grey_levels):
    made = source(protocol, 16)
    batches = [made.batch(step) for step in range(8)]
    noise = torch.cat([batch.blurred - blur(batch.sharp, batch.kernels) for batch in batches])
    assert (noise * 127.5).std().item() == pytest.approx(grey_levels, rel=0.01)
    assert (noise * 127.5).mean().abs() < 0.05
    assert not torch.equal(noise[0], noise[1])


def test_a_batch_without_blur_is_sharp_and_noise(config, source):
    quiet = config.protocols["b"].model_copy(update={"noise": 0.0})
    made = source("b", used=config.model_copy(update={"protocols": {"b": quiet}}))
    steps = [step for step in range(40) if made.sizes(step)[0] == 0]
    assert steps
    plain = list(map(made.batch, steps))
    assert all(torch.equal(batch.blurred, batch.sharp) for batch in plain)
    noisy = list(map(source("b").batch, steps))
    assert all(0 < (batch.blurred - batch.sharp).abs().max() < 0.1 for batch in noisy)


def test_kernels_are_training_kernels_of_the_stated_size(source, banks):
    made = source("b", 3)
    for step in range(20):
        batch = made.batch(step)
        size = batch.size[0].item()
        if size:
            bank = banks["spline"].train[size]
            margin = (batch.kernels.shape[-1] - bank.shape[-1]) // 2
            known = {kernel.tobytes() for kernel in bank}
            inner = batch.kernels[
                :, margin : margin + bank.shape[-1], margin : margin + bank.shape[-1]
            ]
            assert all(kernel.contiguous().numpy().tobytes() in known for kernel in inner)


def test_kernels_of_another_family_or_image_size_are_refused(config, banks, faces):
    with pytest.raises(UserError, match=r"protocols\.b\.kernels: the trajectory kernels"):
        BatchSource(config, "b", faces, banks["trajectory"], 4, torch.device("cpu"))
    larger = config.model_copy(update={"image_size": 64})
    with pytest.raises(UserError, match="64 px"):
        BatchSource(larger, "b", faces, banks["spline"], 4, torch.device("cpu"))


def test_no_faces_are_refused(config, banks, faces):
    nobody = FaceSet(faces.pictures[:0], (), (), faces.landmarks[:0])
    with pytest.raises(UserError, match=r"protocols\.b\.source: embedded has no training faces"):
        BatchSource(config, "b", nobody, banks["spline"], 4, torch.device("cpu"))
