from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dfpg.commands.matching import match_images
from dfpg.core.errors import UserError


def folders(root: Path, restored: list[str], sharp: list[str]) -> tuple[Path, Path]:
    for folder, names in (("restored", restored), ("sharp", sharp)):
        (root / folder).mkdir()
        for name in names:
            path = root / folder / name
            path.parent.mkdir(exist_ok=True)
            path.touch()
    return root / "restored", root / "sharp"


def names(found) -> list[tuple[str, str]]:
    return [(pair.restored.name, pair.sharp.name) for pair in found.pairs]


@pytest.mark.parametrize("suffix", ["_random", "_out3", "_deblur"])
def test_the_names_of_published_codes_are_known(tmp_path, suffix):
    """Case 15: alone, and after the published naming of the blurred images."""
    made = [f"a{suffix}.png", f"b_ker01_blur_k13{suffix}.png"]
    found = match_images(*folders(tmp_path, made, ["a.png", "b.png"]))
    assert names(found) == [(made[0], "a.png"), (made[1], "b.png")]
    assert found.ways == {f"the suffix {suffix}": 2}
    assert f"2 restored with 2 sharp images, 2 by the suffix {suffix}" in found.describe()


def test_another_suffix_is_named_and_images_without_it_are_passed_over(tmp_path):
    made = ["a_fake.png", "a_real.png", "a.png"]
    pair = folders(tmp_path, made, ["a.png"])
    with pytest.raises(UserError, match=r"a_fake\.png: no sharp image 'a_fake'.*--suffix"):
        match_images(*pair)
    found = match_images(*pair, suffix="_fake")
    assert names(found) == [("a_fake.png", "a.png")]
    assert found.remarks == (f"{pair[0]}: 2 without _fake passed over",)
    with pytest.raises(UserError, match="no image has a name that ends with '_x'"):
        match_images(*pair, suffix="_x")


def test_two_results_for_one_image_are_refused_and_not_averaged(tmp_path):
    pair = folders(tmp_path, ["a_random.png", "a_out3.png"], ["a.png"])
    with pytest.raises(UserError, match=r"a_random\.png: a_out3\.png is a restored image 'a', too"):
        match_images(*pair)
    assert names(match_images(*pair, suffix="_out3")) == [("a_out3.png", "a.png")]


def test_a_sharp_image_whose_name_ends_with_a_suffix_is_matched_by_its_name(tmp_path):
    found = match_images(*folders(tmp_path, ["a_random.png"], ["a_random.png"]))
    assert found.ways == {"equal names": 1}


def test_decomposed_and_composed_letters_match(tmp_path):
    """Case 16: macOS writes NFD."""
    made = [unicodedata.normalize("NFD", name) for name in ("Ünï.png", "é_ker01_blur_k13.png")]
    found = match_images(*folders(tmp_path, made, ["Ünï.png", "é.png"]))
    assert names(found) == sorted(zip(made, ("Ünï.png", "é.png"), strict=True), key=lambda p: p[1])


def test_what_lies_beside_the_images_is_no_image_and_is_said(tmp_path):
    """Case 5."""
    made = ["a.png", "._a.png", "Thumbs.db", "scores.txt"]
    found = match_images(*folders(tmp_path, made, ["a.png", ".DS_Store"]))
    assert names(found) == [("a.png", "a.png")]
    assert found.describe().splitlines()[1:] == [
        f"{tmp_path / 'restored'}: other files, not read: scores.txt; "
        "skipped: 2 hidden or left by the system",
        f"{tmp_path / 'sharp'}: skipped: 1 hidden or left by the system",
    ]


def test_a_folder_too_high_names_the_one_with_the_images(tmp_path):
    restored, sharp = folders(tmp_path, ["Helen/a.png", "Helen/b.png"], ["a.png"])
    with pytest.raises(UserError, match=r"Helen has 2: name that folder"):
        match_images(restored, sharp)
