"""The generator reproduces the committed faces. Needs OpenVINO and the asset `mobilestylegan`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data.faces.create import SIZE, create_faces, split_of
from dfpg.data.faces.dataset import FACES, read_index
from dfpg.data.faces.generator import MIX, TRUNCATION, FaceGenerator
from dfpg.pretrained.assets.store import asset_path


@pytest.fixture(scope="module")
def faces() -> FaceGenerator:
    return FaceGenerator(asset_path("mobilestylegan"))


@pytest.mark.parametrize(("person", "picture"), [(0, 0), (0, 1), (1, 0), (20, 3)])
def test_committed_pictures_are_reproduced(faces, person, picture):
    committed = read_image(ROOT / FACES / "faces" / f"p{person:05d}_{picture}.jpg")
    made = faces.picture(person, picture, SIZE)
    assert np.abs(committed.astype(float) - made).mean() <= 2  # grey levels


def test_a_further_picture_mixes_in_another_style(faces):
    own, further = faces.style(3, 0), faces.style(3, 1)
    other = (further - (1 - MIX) * own) / MIX
    spread = np.linalg.norm(own - faces._mean)
    assert 0.5 * spread < np.linalg.norm(other - faces._mean) < 2 * spread
    assert not np.allclose(faces.style(3, 2), further)


def test_truncation_pulls_towards_the_mean(faces):
    styles = np.concatenate([faces.style(person, 0) for person in range(50)])
    raw = faces._mean + (styles - faces._mean) / TRUNCATION
    assert np.linalg.norm(styles - faces._mean) < np.linalg.norm(raw - faces._mean)


@pytest.mark.slow
def test_another_seed_gives_other_people(faces):
    other = FaceGenerator(asset_path("mobilestylegan"), seed=1)
    assert not np.allclose(other.style(0, 0), faces.style(0, 0))


@pytest.mark.slow
def test_create_writes_pictures_index_and_splits(tmp_path):
    dropped = create_faces(tmp_path / "more", people=2)
    made, committed = read_index(tmp_path / "more"), read_index(ROOT / FACES)
    pd.testing.assert_frame_equal(made, committed.head(8), atol=0.5)
    assert dropped.total() == 0
    for name in made["file"]:
        assert (tmp_path / "more" / "faces" / name).is_file()
    with pytest.raises(UserError, match="not empty"):
        create_faces(tmp_path / "more", people=2)


def test_splits_are_15_1_6_of_22():
    splits = [split_of(rank) for rank in range(440)]
    assert [splits.count(name) for name in ("train", "val", "test")] == [300, 20, 120]


def test_missing_network_is_one_line(tmp_path):
    with pytest.raises(UserError, match="dfpg fetch mobilestylegan"):
        FaceGenerator(tmp_path)
