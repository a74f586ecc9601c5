from __future__ import annotations

import numpy as np
import pytest
from helpers.places import ROOT

from dfpg.data.faces.dataset import load_folder
from dfpg.metrics.detection import Box, DlibHog
from dfpg.pretrained.assets.store import FOLDER

SCRFD = ROOT / FOLDER / "scrfd.onnx"


@pytest.fixture(scope="module")
def faces():
    """Twenty pictures of test people, at 128 px."""
    found = load_folder(ROOT / "data", "test", 128)
    return found.pictures[::24], found.landmarks[::24]


def test_dlib_finds_sharp_faces_around_their_points(faces):
    detector = DlibHog()
    boxes = [detector(picture) for picture in faces[0]]
    assert sum(box is not None for box in boxes) >= 19
    for box, points in zip(boxes, faces[1], strict=True):
        if box is not None:
            assert box.score > 0
            assert box.left < points[:, 0].min() < points[:, 0].max() < box.right
            assert box.top < points[:, 1].min() < points[:, 1].max() < box.bottom


def test_dlib_keeps_the_largest_of_several(faces):
    picture = faces[0][0]
    small = picture[::2, ::2]
    both = np.zeros((128, 256, 3), np.uint8)
    both[:, :128], both[:64, 160:224] = picture, small
    box = DlibHog()(both)
    assert box is not None
    assert box.right < 150
    assert Box(9.0, 0, 0, 4, 4).area < Box(1.0, 0, 0, 5, 5).area == 25


def test_nothing_is_found_where_nothing_is():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert DlibHog()(noise) is None
    assert DlibHog()(np.full((16, 16, 3), 128, np.uint8)) is None


@pytest.mark.skipif(not SCRFD.is_file(), reason="needs the asset scrfd (dfpg fetch)")
def test_scrfd_finds_sharp_faces_and_reports_px_of_the_picture(faces):
    from dfpg.pretrained.detector import FaceDetector

    detector = FaceDetector(SCRFD)
    found = [detector(picture) for picture in faces[0]]
    assert sum(bool(one) for one in found) >= 19  # 95 %
    for detections, points in zip(found, faces[1], strict=True):
        if detections:
            assert np.abs(detections[0].landmarks - points).mean() < 3
    assert detector(np.zeros((128, 128, 3), np.uint8)) == []
