from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers.kernels import few_sizes_of_motion, kernel_bank

from dfpg.core.config import NOMINAL_SIZES, Augmentation
from dfpg.core.errors import UserError
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import blur
from dfpg.data.blur.kernels import FAMILIES
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.label_views import label_views
from dfpg.pretrained.parsing import CLASSES
from dfpg.training.batch_views import VIEWS, WITH_LABELS, open_view
from dfpg.training.batches import BatchSource

CPU = torch.device("cpu")
SIDE = 48
PEOPLE = 6
RUNS = {"a": "dfpg_a", "b": "dfpg_b"}
TURNED = Augmentation(random_crop=True, flip=True, rotation=270.0, color_jitter=0.0)
NAMED = [CLASSES.index(name) for name in ("background", "skin", "hair", "nose", "l_eye", "r_eye")]


@pytest.fixture(scope="module")
def banks(config):
    return {family: kernel_bank(config, family) for family in FAMILIES}


@pytest.fixture(scope="module", autouse=True)
def _few_sizes_of_motion():
    with few_sizes_of_motion():
        yield


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(0)
    pictures = rng.integers(30, 220, (12, 6, 6, 3)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    people = tuple(f"p{index // 2}" for index in range(12))
    names = tuple(map(str, range(12)))
    return FaceSet(pictures, people, names, np.zeros((12, 5, 2), np.float32))


@pytest.fixture(scope="module")
def labels():
    rng = np.random.default_rng(1)
    return rng.choice(NAMED, (12, 6, 6)).repeat(8, 1).repeat(8, 2).astype(np.uint8)


@pytest.fixture
def view(config, banks, faces, labels):
    def make(name, protocol="a", steps=16, seed=0, batch_size=4):
        run = config.runs[RUNS[protocol]].model_copy(update={"images": steps * batch_size})
        training = config.training.model_copy(update={"batch_size": batch_size})
        used = config.model_copy(update={"seed": seed, "runs": {"run": run}, "training": training})
        bank = banks[config.protocols[protocol].kernels]
        given = labels if name in WITH_LABELS else None
        return open_view(name, used, "run", faces, bank, CPU, given)

    return make


def equal(one, two):
    return type(one) is type(two) and all(
        torch.equal(getattr(one, field.name), getattr(two, field.name))
        for field in dataclasses.fields(one)
    )


@pytest.mark.parametrize("protocol", ["a", "b"])
@pytest.mark.parametrize("name", VIEWS)
def test_a_batch_is_a_function_of_seed_protocol_and_step(view, name, protocol):
    first, second = view(name, protocol), view(name, protocol)
    torch.manual_seed(1)
    forward = [first.batch(step) for step in range(4)]
    torch.manual_seed(2)
    np.random.seed(3)
    backward = [second.batch(step) for step in reversed(range(4))][::-1]
    assert all(map(equal, forward, backward))
    assert not torch.equal(forward[0].blurred, forward[1].blurred)
    assert not torch.equal(forward[0].blurred, view(name, protocol, seed=1).batch(0).blurred)


@pytest.mark.parametrize("name", VIEWS)
def test_every_field_is_a_tensor_with_a_row_per_image(config, view, name):
    batch = view(name).batch(0)
    for field in dataclasses.fields(batch):
        assert getattr(batch, field.name).shape[0] == 4
    assert batch.sharp.shape == (4, 3, config.image_size, config.image_size)
    assert batch.sharp.shape == batch.blurred.shape
    torch.testing.assert_close(batch.kernels.sum((1, 2)), torch.ones(4))


@pytest.mark.parametrize("protocol", ["a", "b"])
@pytest.mark.parametrize("name", ["plain", "labelled", "fresh_pairs"])
def test_first_measurement_is_that_of_the_plain_batch(config, banks, faces, view, name, protocol):
    bank = banks[config.protocols[protocol].kernels]
    plain = BatchSource(config, protocol, faces, bank, 4, CPU).batch(3)
    batch = view(name, protocol).batch(3)
    for field in dataclasses.fields(plain):
        assert torch.equal(getattr(plain, field.name), getattr(batch, field.name))


@pytest.mark.parametrize("name", ["growing", "blind", "blind_motion"])
def test_sharp_faces_are_those_of_the_plain_batch(view, name):
    batch, plain = view(name).batch(3), view("plain").batch(3)
    assert torch.equal(batch.sharp, plain.sharp)
    assert torch.equal(batch.faces, plain.faces)


COLOURS = np.array([(16 + 12 * c, 240 - 12 * c, 40 + 67 * (c % 4)) for c in range(19)], np.uint8)


def classes_by_colour(views):
    """Class [N, H, W] of the colour nearest to each pixel; black is the background's too."""
    palette = torch.from_numpy(COLOURS).float()
    pixels = ((views + 1) * 127.5).permute(0, 2, 3, 1)
    found = torch.cdist(pixels.reshape(-1, 3), palette).argmin(1).reshape(pixels.shape[:3])
    return torch.where(pixels.sum(-1) < 60, 0, found)


def swapped(classes, rows):
    result = classes.clone()
    one, two = CLASSES.index("l_eye"), CLASSES.index("r_eye")
    result[rows] = torch.where(
        classes[rows] == one, two, torch.where(classes[rows] == two, one, classes[rows])
    )
    return result


@pytest.mark.parametrize("turned", [False, True])
def test_labels_follow_the_pictures_geometry(turned):
    rng = np.random.default_rng(2)
    labels = rng.choice(NAMED, (24, 8, 8)).repeat(20, 1).repeat(20, 2).astype(np.uint8)
    pictures = torch.from_numpy(COLOURS[labels])
    augmentation = TURNED if turned else TURNED.model_copy(update={"rotation": 0.0})
    views = face_views(pictures, 0.875, augmentation, 64, np.random.default_rng(5))
    found = label_views(torch.from_numpy(labels), 0.875, augmentation, 64, np.random.default_rng(5))
    mirrors = torch.from_numpy(np.random.default_rng(5).random((24, 10))[:, 2] < 0.5)
    expected = swapped(classes_by_colour(views), mirrors)
    assert found.dtype == torch.uint8
    # On the borders of the squares the picture is a mixture of two colours.
    inner = torch.nn.functional.max_pool2d(found.float(), 3, 1, 1) == found
    inner &= torch.nn.functional.max_pool2d(-found.float(), 3, 1, 1) == -found.float()
    inner[:, [0, -1]] = inner[:, :, [0, -1]] = False
    assert inner.float().mean() > 0.4
    assert (found == expected)[inner].float().mean() > 0.995
    assert 0 < mirrors.sum() < 24


def test_left_and_right_change_place_only_where_the_face_is_mirrored():
    labels = torch.full((1, 16, 16), CLASSES.index("l_brow"), dtype=torch.uint8)
    flip = Augmentation(random_crop=False, flip=True, rotation=0.0, color_jitter=0.0)
    found = set()
    for seed in range(8):
        mirrored = np.random.default_rng(seed).random((1, 10))[0, 2] < 0.5
        views = label_views(labels, 1.0, flip, 16, np.random.default_rng(seed))
        assert (views == CLASSES.index("r_brow" if mirrored else "l_brow")).all()
        found.add(bool(mirrored))
    assert found == {False, True}
    assert torch.equal(label_views(labels, 0.875, TURNED, 16, None), labels)


def test_labels_of_the_wrong_pictures_are_refused(config, banks, faces, labels):
    for given, found in ((None, "none"), (labels[1:], "11, 48, 48")):
        with pytest.raises(UserError, match=rf"{found}.*dvc repro parsing"):
            open_view("labelled", config, "dfpg_a", faces, banks["trajectory"], CPU, given)


def test_an_unknown_view_is_refused(config, banks, faces):
    with pytest.raises(UserError, match=r"runs\.dfpg_a: .*'sideways'"):
        open_view("sideways", config, "dfpg_a", faces, banks["trajectory"], CPU)


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_kernel_sizes_grow_in_eight_equal_shares(view, protocol):
    steps = 800
    made = view("growing", protocol, steps)
    largest = [max(made.sizes(step)) for step in range(steps)]
    for share, nominal in enumerate(NOMINAL_SIZES):
        assert max(largest[100 * share : 100 * (share + 1)]) == nominal
    last = np.concatenate([made.sizes(step) for step in range(700, 800)])
    zero = {0} if protocol == "b" else set()
    assert set(last.tolist()) == set(NOMINAL_SIZES) | zero
    assert made.batch(0).size.max() <= NOMINAL_SIZES[0]
    assert max(made.sizes(10**6)) <= NOMINAL_SIZES[-1]
    assert max(view("growing", protocol, 3).sizes(2)) <= NOMINAL_SIZES[5]


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_pairs_are_two_fixed_measurements_of_each_face(view, protocol):
    made, seen, repeated = view("pairs", protocol), {}, 0
    for step in range(9):  # three epochs
        batch = made.batch(step)
        for row, face in enumerate(batch.faces.tolist()):
            fields = (batch.sharp, batch.blurred, batch.blurred2, batch.kernels, batch.kernels2)
            own = [field[row] for field in fields] + [batch.size[row], batch.size2[row]]
            repeated += face in seen
            assert all(map(torch.equal, seen.setdefault(face, own), own))
    assert repeated == 24
    sizes = {int(own[k]) for own in seen.values() for k in (5, 6)}
    assert len(sizes) > 3


def test_fresh_pairs_are_new_when_a_face_comes_again(view):
    made = view("fresh_pairs")
    one, again = made.batch(0), made.batch(3)
    rows = {int(face): row for row, face in enumerate(again.faces)}
    for row, face in enumerate(one.faces.tolist()):
        if face in rows:
            assert not torch.equal(one.blurred[row], again.blurred[rows[face]])


@pytest.mark.parametrize("protocol", ["a", "b"])
@pytest.mark.parametrize("name", ["pairs", "fresh_pairs"])
def test_pairs_share_the_sharp_face_and_differ_in_kernel_and_noise(view, protocol, name):
    made = view(name, protocol)
    differ = []
    for step in range(6):
        batch = made.batch(step)
        noise = batch.blurred - blur(batch.sharp, batch.kernels)
        noise2 = batch.blurred2 - blur(batch.sharp, batch.kernels2)
        assert noise2.abs().max() < 0.15
        assert 0.5 < noise2.std() / noise.std() < 2
        assert not torch.equal(noise, noise2)
        differ += (batch.kernels != batch.kernels2).flatten(1).any(1).tolist()
    assert np.mean(differ) > 0.8


def test_unpaired_faces_are_of_other_people_in_the_whole_run(view, faces):
    made = view("unpaired")
    blurred, sharp = set(), set()
    for step in range(8):
        batch = made.batch(step)
        blurred |= set(batch.faces.tolist())
        sharp |= set(batch.sharp_faces.tolist())
    assert blurred | sharp == set(range(12))
    people = [{faces.people[index] for index in part} for part in (blurred, sharp)]
    assert not people[0] & people[1]
    assert len(people[0]) == len(people[1]) == PEOPLE // 2


def test_unpaired_indices_name_the_faces_shown(view, faces):
    batch = view("unpaired").batch(1)
    means = torch.from_numpy(faces.pictures[:, 3:-3, 3:-3].mean((1, 2)))
    for shown, indices, tolerance in (
        (batch.sharp, batch.sharp_faces, 1.0),
        (batch.blurred, batch.faces, 12.0),  # reflected borders weigh the picture anew
    ):
        found = (shown.double().mean((2, 3)) + 1) * 127.5
        torch.testing.assert_close(found, means[indices], atol=tolerance, rtol=0)


def test_one_person_cannot_be_unpaired(config, banks, faces):
    alone = dataclasses.replace(faces, people=("one",) * 12)
    with pytest.raises(UserError, match="two people"):
        open_view("unpaired", config, "dfpg_a", alone, banks["trajectory"], CPU)


def test_blind_batches_have_no_motion_blur_and_stay_in_range(view):
    for step in range(4):
        batch = view("blind", "b").batch(step)
        assert batch.size.tolist() == [0] * 4
        assert batch.blurred.min() >= -1
        assert batch.blurred.max() <= 1
        assert not torch.equal(batch.blurred, batch.sharp)
        # Gaussian: the same seen from both ends, greatest in the middle.
        torch.testing.assert_close(batch.kernels, batch.kernels.flip(-1, -2))
        middle = batch.kernels.shape[-1] // 2
        assert torch.equal(batch.kernels.amax((1, 2)), batch.kernels[:, middle, middle])


def test_blind_batches_with_motion_hold_kernels_that_are_no_gaussians(view):
    kernels = torch.cat([view("blind_motion", "b").batch(step).kernels for step in range(12)])
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(48))
    lopsided = (kernels - kernels.flip(-1, -2)).abs().amax((1, 2)) > 1e-3
    assert 0.05 < lopsided.float().mean() < 0.6


def test_generic_batches_show_other_pictures_than_the_faces(view, faces):
    made = view("generic")
    assert made.batch(0).faces.max() < len(faces.pictures)
    assert not torch.equal(made.batch(0).sharp, view("plain").batch(0).sharp)
    assert torch.equal(made.batch(0).kernels, view("plain").batch(0).kernels)
