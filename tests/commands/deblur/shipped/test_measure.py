"""Gains over the blurred input: closed forms, and where CelebA's faces are cut out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import layouts
from helpers.kernels import copy_kernels

from dfpg.commands.deblur.shipped import measure
from dfpg.commands.deblur.shipped.blur import SIDES
from dfpg.commands.deblur.shipped.by_size import ALL
from dfpg.commands.deblur.shipped.measure import celeba_faces, celeba_testset, score
from dfpg.core.errors import UserError
from dfpg.data.blur.kernels import build_kernels
from dfpg.data.testsets import TestSet as Shards

CPU = torch.device("cpu")
SIDE = 8


class Halfway:
    """Takes away a known share of the error: the sharp images are grey."""

    def __init__(self, share: float) -> None:
        self.share = share

    def restore(self, blurred):
        return blurred * self.share


def grey_testset(people: int = 10) -> Shards:
    """Sharp is middle grey (0 on the signed scale, nearly), blurred is 40 levels off."""
    stream = np.random.default_rng(1)
    signs = stream.choice([-1, 1], (people * 2, SIDE, SIDE, 3))
    index = pd.DataFrame({"image": range(people * 2)})
    index["subset"] = "ffhq"
    index["person"] = [f"p{image // 2}" for image in range(people * 2)]
    index["sharp"] = index["image"]
    index["size"], index["kernel"] = 13, index["image"]
    sharp = np.full(signs.shape, 127, np.uint8)
    return Shards(sharp, (127 + 40 * signs).astype(np.uint8), index)


def test_a_model_that_returns_its_input_gains_nothing(config):
    found = score(config, Halfway(1.0), CPU, grey_testset())
    assert (found.images, found.people) == (20, 10)
    assert found.gain == found.low == found.high == 0
    assert found.blurred == found.restored


def test_half_the_error_is_six_decibels(config):
    found = score(config, Halfway(0.5), CPU, grey_testset())
    assert found.blurred == pytest.approx(20 * np.log10(255 / 40), abs=0.01)
    assert found.gain == pytest.approx(20 * np.log10(2), abs=0.2)  # rounded to grey levels
    assert found.low <= found.gain <= found.high


@pytest.fixture
def celeba(tmp_path):
    layouts.celeba(tmp_path / "celeba", "test", layouts.people()[:5])
    return tmp_path / "celeba"


@pytest.mark.slow
def test_celebas_faces_are_one_per_person_in_the_official_crop(
    config, tmp_path, monkeypatch, celeba
):
    faces = celeba_faces(celeba, 3)
    assert len(set(faces.people)) == len(faces.people) == 3
    monkeypatch.setattr(measure, "KERNELS", tmp_path / "kernels")
    monkeypatch.setattr(measure, "IMAGES", 8)
    kernels = config.kernels.model_copy(  # as few as one subset needs
        update={
            "spline": config.kernels.spline.model_copy(
                update={"train": 1, "test": 10, "validation": 1}
            ),
            "trajectory": config.kernels.trajectory.model_copy(
                update={"train": 8, "test": 80, "validation": 8}
            ),
        }
    )
    large = config.model_copy(update={"image_size": 128, "kernels": kernels})
    build_kernels(large, tmp_path / "kernels")
    for protocol in ("a", "b"):
        with celeba_testset(large, protocol, faces) as testset:
            assert len(testset.index) == 8
            assert set(testset.index["person"]) <= set(faces.people)
            shown = testset.index.iloc[0]
            row = faces.names.index(shown["face"])
            whole = layouts.celeba_like(layouts.people()[row][0])
            assert np.array_equal(testset.sharp[shown["sharp"]], whole[68:196, 25:153])
            assert not np.array_equal(testset.blurred[0], testset.sharp[shown["sharp"]])


class Unchanging:
    """A restorer that changes nothing, whatever weights it is made of."""

    def __init__(self, *_: object) -> None:
        pass

    def change(self, pictures):
        return np.zeros(pictures.shape, np.float32)


@pytest.fixture
def opened(config, tmp_path, monkeypatch) -> list[str]:
    """Test sets of grey faces; the names of those that are opened."""
    found: list[str] = []

    def open_set(path):
        found.append(path.name)
        return large_testset(config.image_size)

    copy_kernels(config, tmp_path / "kernels")
    monkeypatch.setattr(measure, "KERNELS", tmp_path / "kernels")
    monkeypatch.setattr(measure, "open_testset", open_set)
    monkeypatch.setattr(measure, "Restorer", Unchanging)
    monkeypatch.setattr(measure, "build_restorer", lambda *_: Halfway(1.0))
    return found


def large_testset(side: int) -> Shards:
    few = grey_testset()
    scale = side // SIDE
    return Shards(
        few.sharp.repeat(scale, 1).repeat(scale, 2),
        few.blurred.repeat(scale, 1).repeat(scale, 2),
        few.index,
    )


def test_sets_sizes_and_measured_kernels_are_measured(config, opened, tmp_path):
    np.savez(tmp_path / "own.npz", box=np.ones((3, 3)), point=np.ones((1, 1)))
    weights = tmp_path / "any"
    found = measure.measure(config, weights, CPU, None, tmp_path / "own.npz", images=4)
    assert opened == ["a", "b"]
    assert list(found.sets) == ["generated_a", "generated_b"]
    assert found.sets["generated_b"].gain == 0
    assert len(found.sizes) == 2 + 2 * len(SIDES)
    assert {row.images for row in found.sizes} == {4}
    assert [(row.name, row.images) for row in found.kernels] == [(ALL, 8), ("box", 4), ("point", 4)]


def test_without_the_sets_only_the_faces_of_one_are_opened(config, opened, tmp_path):
    found = measure.measure(config, tmp_path / "any", CPU, None, None, images=4, sets=False)
    assert opened == ["b"]
    assert (found.sets, found.kernels) == ({}, [])
    assert found.sizes[0].left == 1


def test_too_few_people_are_refused(celeba):
    with pytest.raises(UserError, match="5 test people, 6 are wanted"):
        celeba_faces(celeba, 6)
