from __future__ import annotations

import numpy as np
import pytest

from dfpg.commands.deblur import detection
from dfpg.commands.deblur.face_restorer import FaceRestorer
from dfpg.commands.deblur.shipped import WEIGHTS
from dfpg.core.errors import UserError
from dfpg.pretrained.assets import store


@pytest.fixture(scope="module")
def restorer() -> FaceRestorer:
    return FaceRestorer(WEIGHTS, "cpu")


def test_the_detector_is_loaded_with_the_first_photograph_and_once(restorer, monkeypatch):
    loaded = []
    monkeypatch.setattr(store, "asset_path", lambda name: name)
    monkeypatch.setattr(detection, "CanvasDetector", lambda path: loaded.append(path) or path)
    monkeypatch.setattr(detection, "find_faces", lambda *_: [])
    photograph = np.full((40, 60, 3), 7, np.uint8)
    assert loaded == []
    for _ in range(2):
        same = restorer.deblur(photograph)
        assert (same == photograph).all()
        assert same is not photograph
    assert loaded == ["scrfd"]


def test_a_face_keeps_its_size_and_a_strip_is_none(restorer):
    face = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    assert restorer.restore(face).shape == face.shape
    with pytest.raises(UserError, match="times as long as wide"):
        restorer.restore(np.zeros((300, 10, 3), np.uint8))


def test_what_is_no_image_is_refused_by_the_name_of_its_argument(restorer):
    with pytest.raises(UserError, match="image: float64"):
        restorer.restore(np.zeros((4, 4, 3)))
    with pytest.raises(UserError, match="photograph: float64"):
        restorer.deblur(np.zeros((4, 4, 3)))
