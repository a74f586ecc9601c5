from __future__ import annotations

import numpy as np
import pytest
from helpers.places import ROOT
from PIL import Image

from dfpg.commands.deblur.detection import CanvasDetector
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import FaceDetector

# What the SCRFD of insightface 2.1 finds at threshold 0.5 in four embedded faces of one person,
# laid out two by two: scores, boxes, landmarks, px.
SCORES = [0.7299, 0.7285, 0.7123, 0.7058]
BOXES = [
    [188.01, 186.67, 266.28, 307.61],
    [192.59, 31.94, 269.14, 148.73],
    [30.9, 190.51, 109.19, 307.65],
    [28.46, 28.42, 106.78, 147.15],
]
LANDMARKS = [
    [[222.46, 235.54], [256.46, 233.06], [249.41, 261.53], [227.62, 281.49], [252.58, 280.15]],
    [[221.72, 75.31], [256.91, 72.1], [246.07, 102.85], [225.2, 121.83], [252.11, 119.89]],
    [[61.17, 235.43], [96.7, 232.56], [86.29, 260.91], [66.17, 281.58], [92.9, 279.86]],
    [[62.66, 75.42], [96.26, 73.37], [89.55, 101.25], [68.89, 122.12], [92.44, 121.04]],
]


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(asset_path("scrfd"))


@pytest.fixture(scope="module")
def four_faces():
    faces = [
        np.asarray(Image.open(ROOT / "data" / "faces" / f"p00000_{index}.jpg").convert("RGB"))
        for index in range(4)
    ]
    return np.vstack([np.hstack(faces[:2]), np.hstack(faces[2:])])


def test_finds_what_was_recorded(four_faces):
    found = CanvasDetector(asset_path("scrfd"))(four_faces)
    np.testing.assert_allclose([face.score for face in found], SCORES, atol=1e-3)
    np.testing.assert_allclose([face.box for face in found], BOXES, atol=0.05)
    np.testing.assert_allclose([face.landmarks for face in found], LANDMARKS, atol=0.05)


def test_a_face_that_fills_its_picture_is_found_in_px_of_the_picture(detector, four_faces):
    face = four_faces[:160, :160]
    (small,) = detector(face)
    (large,) = detector(np.asarray(Image.fromarray(face).resize((320, 320))))
    assert 20 < small.box[0] < small.landmarks[0, 0] < small.landmarks[1, 0] < small.box[2] < 120
    np.testing.assert_allclose(large.landmarks, 2 * small.landmarks, atol=4)


def test_nothing_is_found_in_a_plain_picture_and_all_is_found_at_a_low_threshold(four_faces):
    plain = np.full((100, 200, 3), 90, np.uint8)
    assert FaceDetector(asset_path("scrfd"))(plain) == []
    assert len(CanvasDetector(asset_path("scrfd"), 0.72)(four_faces)) == 2
