from __future__ import annotations

import numpy as np
import pytest
from helpers.layouts import people, save

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data.faces.folder import Folder
from dfpg.data.faces.helen import (
    CROP,
    Helen,
    crop_with_reflection,
    photograph,
    shen_square,
    skin_box,
    widen,
)
from dfpg.data.faces.source import CLOSE_SIDE


def test_square_follows_the_published_crops():
    """Worked by hand: 100 x 120 becomes 100 x 132 and then 132 x 132 about the same middle."""
    assert shen_square((100, 50, 200, 170), 640, 480) == pytest.approx((84, 50, 216, 182))


def test_square_at_the_border_is_shifted_and_not_shrunk():
    assert shen_square((0, 0, 50, 100), 640, 480) == pytest.approx((0, 0, 110, 110))
    assert shen_square((600, 400, 640, 480), 640, 480) == pytest.approx((552, 392, 640, 480))
    wider = shen_square((0, 0, 300, 200), 200, 300)
    assert wider == pytest.approx((-50, 0, 250, 300))


def test_wide_square_holds_the_protocols_crop_in_its_middle():
    square = (10.0, 20.0, 138.0, 148.0)
    wide = widen(square, CLOSE_SIDE / CROP)
    assert wide == pytest.approx((1, 11, 147, 157))


def test_picture_is_reflected_beyond_its_border():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    assert np.array_equal(crop_with_reflection(picture, (5, 3, 35, 33), 30), picture[3:33, 5:35])
    beyond = crop_with_reflection(picture, (-10, 0, 20, 30), 30)
    assert np.array_equal(beyond[:, 10:], picture[:30, :20])
    assert np.array_equal(beyond[:, :10], picture[:30, 1:11][:, ::-1])


def test_box_of_the_skin_label():
    label = np.zeros((50, 60), np.uint8)
    label[10:30, 20:45] = 255
    label[0, 0] = 20  # below the published threshold of a tenth
    assert skin_box(label) == (20, 10, 45, 30)
    assert skin_box(np.zeros((5, 5), np.uint8)) is None


def test_crops_of_a_photograph_share_its_name():
    assert photograph("100040721_2.jpg") == "100040721"
    assert photograph("images/anna_b.jpg") == "anna_b"


@pytest.fixture(scope="module")
def helen(tmp_path_factory):
    """Two people's pictures in a corner of larger photographs."""
    root = tmp_path_factory.mktemp("helen")
    for number, (first, second, *_) in enumerate(people()[:2]):
        for crop, picture in enumerate((first, second)):
            canvas = np.full((300, 400, 3), 90, np.uint8)
            canvas[20:180, 30:190] = picture
            save(root / f"{number:03d}_{crop}.png", canvas)
    save(root / "200_1.png", np.full((200, 200, 3), 90, np.uint8))
    return root


def test_face_is_found_and_fills_the_crop(helen):
    source = Helen(helen)
    framed = source.frame("000_0.png")
    assert framed.picture.shape == (CLOSE_SIDE, CLOSE_SIDE, 3)
    left, right = framed.landmarks[:2]
    assert 0.2 < (right - left)[0] / CROP < 0.5
    assert abs((left + right)[0] / 2 - CLOSE_SIDE / 2) < 0.1 * CLOSE_SIDE
    assert source.frame("200_1.png") == "no face found"
    assert source.index.groupby("person")["split"].nunique().max() == 1


def test_skin_label_takes_the_place_of_the_detectors_box(helen, tmp_path):
    """The square is that of the label: landmarks move by the known scale and shift."""
    detected = Helen(helen).frame("000_0.png")
    save(tmp_path / "images" / "000_0.png", read_image(helen / "000_0.png"))
    label = np.zeros((300, 400), np.uint8)
    label[50:170, 60:160] = 255
    save(tmp_path / "labels" / "000_0" / "000_0_lbl01.png", label)
    labelled = Helen(tmp_path).frame("000_0.png")
    square = widen(shen_square((60, 50, 160, 170), 400, 300), CLOSE_SIDE / CROP)
    face = Helen(helen)._detector(read_image(helen / "000_0.png"))[0]
    scale = CLOSE_SIDE / (square[2] - square[0])
    assert np.allclose(labelled.landmarks, (face.landmarks - square[:2]) * scale, atol=1e-3)
    assert not np.allclose(labelled.landmarks, detected.landmarks, atol=0.5)


def test_official_lists_split_the_set(helen, tmp_path):
    for path in helen.glob("0*.png"):
        save(tmp_path / "images" / path.name, read_image(path))
    (tmp_path / "exemplars.txt").write_text("1 , 000_0\n2 , 000_1\n\n")
    (tmp_path / "tuning.txt").write_text("1 , 001_0\n")
    (tmp_path / "testing.txt").write_text("1 , 001_1\n")
    source = Helen(tmp_path)
    assert source.index["split"].tolist() == ["train", "train", "val", "test"]
    (tmp_path / "testing.txt").write_text("")
    with pytest.raises(UserError, match=r"001_1\.png is in none of exemplars\.txt"):
        Helen(tmp_path)


def test_folders_in_a_folder_are_people(tmp_path):
    first, second = people()[:2]
    for number, picture in enumerate([*first[:2], *second[:1]]):
        save(
            tmp_path / ("anna" if number < 2 else "bo") / f"{number}.png",
            picture.repeat(2, 0).repeat(2, 1),
        )
    source = Folder(tmp_path)
    assert source.identities
    assert source.index["person"].tolist() == ["anna", "anna", "bo"]
    framed = source.frame("anna/0.png")
    assert framed.picture.shape == (256, 256, 3)
    assert framed.landmarks[2, 1] > framed.landmarks[0, 1]
    save(tmp_path / "bo" / "small.png", first[0])
    assert source.frame("bo/small.png") == "smaller than 256 px"
    save(tmp_path / "bo" / "none.png", np.full((300, 300, 3), 90, np.uint8))
    assert source.frame("bo/none.png") == "no face found"


def test_pictures_without_folders_have_no_people(tmp_path):
    save(tmp_path / "one.png", people()[0][0])
    source = Folder(tmp_path)
    assert not source.identities
    assert source.index["person"].tolist() == ["one"]
