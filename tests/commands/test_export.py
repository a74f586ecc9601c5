from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from dfpg.commands.export import INDEX, export_images, file_names, sharp_stem
from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data import testsets

SIDE = 8
ROWS = (  # subset, mode, face, row of sharp, kernel, size
    ("helen", "center", "p1_0.jpg", 0, 0, 13),
    ("helen", "center", "p1_0.jpg", 0, 9, 27),
    ("celeba", "center", "celeba/p2.v1.jpg", 1, 4, 15),
)


@pytest.fixture
def testset() -> testsets.TestSet:
    rng = np.random.default_rng(0)
    index = pd.DataFrame(ROWS, columns=["subset", "mode", "face", "sharp", "kernel", "size"])
    index.insert(0, "person", [f"p{row}" for row in index["sharp"]])
    index.insert(0, "image", range(len(ROWS)))
    sharp, blurred = (
        rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8) for count in (3, len(ROWS))
    )
    return testsets.TestSet(sharp, blurred, index)


def test_protocol_a_is_laid_out_as_the_shen_test_set(testset):
    names = file_names("a", testset.index)
    assert names["blurred"].tolist() == [
        "Test_data_Helen/final_Helen_blur/p1_0_ker01_blur_k13.png",
        "Test_data_Helen/final_Helen_blur/p1_0_ker10_blur_k27.png",
        "Test_data_CelebA/final_CelebA_blur/celeba_p2.v1_ker05_blur_k15.png",
    ]
    assert names["sharp"].tolist()[1:] == [
        "Test_data_Helen/final_Helen_gt/p1_0.png",
        "Test_data_CelebA/final_CelebA_gt/celeba_p2.v1.png",
    ]


def test_protocol_b_has_a_folder_per_mode_and_msplss_rule_finds_the_sharp_image(testset):
    index = pd.concat([testset.index, testset.index.assign(mode="random")], ignore_index=True)
    names = file_names("b", index)
    assert names["blurred"].is_unique
    assert names["blurred"][3] == "MSPL_Random/Helen/blur/p1_0_ker01_blur_k13.png"
    for blurred, sharp in zip(names["blurred"], names["sharp"], strict=True):
        stem = blurred.rpartition("/")[2].removesuffix(".png")
        assert stem[:-15] == sharp_stem(stem) == sharp.rpartition("/")[2].removesuffix(".png")
        assert blurred.partition("/blur/")[0] == sharp.partition("/gt/")[0]


def test_two_faces_of_one_name_keep_two_files(testset):
    index = testset.index.assign(face=["x/a.jpg", "x/a.jpg", "x_a.png"], subset="helen")
    names = file_names("a", index)
    assert names["sharp"].nunique() == 2
    assert names["blurred"].is_unique


def test_export_is_the_test_set_to_the_bit_and_the_index_finds_it(testset, tmp_path):
    text = export_images(testset, "a", tmp_path / "out", force=False)
    assert "3 blurred and 2 sharp images" in text
    index = pd.read_csv(tmp_path / "out" / INDEX)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 5  # no image blurs the third face
    for row, sharp in zip(index.itertuples(), testset.index["sharp"], strict=True):
        blurred = read_image(tmp_path / "out" / row.blurred)
        np.testing.assert_array_equal(blurred, testset.blurred[row.image])
        np.testing.assert_array_equal(
            read_image(tmp_path / "out" / row.sharp), testset.sharp[sharp]
        )
    assert index[["person", "kernel", "size"]].equals(testset.index[["person", "kernel", "size"]])


def test_nothing_is_overwritten_without_force_and_no_foreign_image_is_mixed_in(testset, tmp_path):
    export_images(testset, "a", tmp_path, force=False)
    before = (tmp_path / INDEX).read_bytes()
    with pytest.raises(UserError, match="not empty: name another folder, or replace"):
        export_images(testset, "a", tmp_path, force=False)
    changed = testsets.TestSet(testset.sharp, 255 - testset.blurred, testset.index)
    export_images(changed, "a", tmp_path, force=True)
    name = tmp_path / file_names("a", testset.index)["blurred"][0]
    np.testing.assert_array_equal(read_image(name), changed.blurred[0])
    assert (tmp_path / INDEX).read_bytes() == before
    other = testsets.TestSet(testset.sharp, testset.blurred, testset.index.assign(size=17))
    with pytest.raises(UserError, match=re.escape("_k15.png: not of this test set: delete")):
        export_images(other, "a", tmp_path, force=True)
    np.testing.assert_array_equal(read_image(name), changed.blurred[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        export_images(testset, "a", tmp_path / "file", force=True)
