"""LFW in the layout in which it is distributed, made of the generated people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.layouts import people
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.evaluation.recognition.lfw import list_pairs, read_middle

FOLDS, PER_FOLD = 2, 3


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two folds of three pairs of one person and three of two people."""
    home = tmp_path / "data" / "lfw_home"
    lines = [f"{FOLDS}\t{PER_FOLD}"]
    for fold in range(FOLDS):
        names = [f"Person_{fold}{i}" for i in range(PER_FOLD + 1)]
        for name, pictures in zip(names, people()[4 * fold :], strict=False):
            place = home / "lfw_funneled" / name
            place.mkdir(parents=True)
            for number, picture in enumerate(pictures[:2], start=1):
                large = Image.fromarray(picture).resize((250, 250))
                large.save(place / f"{name}_{number:04d}.jpg", quality=95)
        lines += [f"{name}\t1\t2" for name in names[:-1]]
        lines += [f"{names[i]}\t1\t{names[i + 1]}\t2" for i in range(PER_FOLD)]
    (home / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "data"


def content(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_pairs_and_pictures_are_those_of_scikit_learns_reader(folder):
    """Compared with the function that reads them there, which writes nothing."""
    from sklearn.datasets._lfw import _fetch_lfw_pairs

    home = folder / "lfw_home"
    before = content(folder)
    pairs = list_pairs(folder)
    pictures, target, _ = _fetch_lfw_pairs(
        str(home / "pairs.txt"),
        str(home / "lfw_funneled"),
        slice_=(slice(45, 205), slice(45, 205)),
        color=True,
        resize=0.8,
    )
    assert [pair.same for pair in pairs] == (target == 1).tolist()
    for pair, expected in zip(pairs, np.rint(pictures * 255).astype(np.uint8), strict=True):
        assert np.array_equal(read_middle(pair.one), expected[0])
        assert np.array_equal(read_middle(pair.two), expected[1])
    assert content(folder) == before  # nothing is written into a user's folder


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
def test_a_list_of_another_system_is_read(folder, start):
    path = folder / "lfw_home" / "pairs.txt"
    expected = list_pairs(folder)
    path.write_bytes(start + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert list_pairs(folder) == expected
    assert list_pairs(folder / "lfw_home") == expected


def test_a_mistyped_path_is_one_line_and_not_created(tmp_path):
    """Case 17."""
    with pytest.raises(UserError, match=r"recognition\.lfw: .*nothing: no such folder"):
        list_pairs(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["lfw_funneled", "pairs.txt"])
def test_a_missing_part_is_named(folder, name):
    (folder / "lfw_home" / name).rename(folder / "elsewhere")
    with pytest.raises(UserError, match=rf"recognition\.lfw: .*{name}: missing"):
        list_pairs(folder)


def test_an_incomplete_lfw_names_the_file(folder):
    home = folder / "lfw_home"
    picture = home / "lfw_funneled" / "Person_02" / "Person_02_0002.jpg"
    picture.unlink()
    with pytest.raises(UserError, match=r"Person_02_0002\.jpg: missing \(1 of 14 pictures are\)"):
        list_pairs(folder)
    text = (home / "pairs.txt").read_text()
    (home / "pairs.txt").write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(UserError, match=r"pairs\.txt: 11 pairs instead of 12"):
        list_pairs(folder)
    (home / "pairs.txt").write_text("no list\n" + text)
    with pytest.raises(UserError, match=r"pairs\.txt: not LFW's list"):
        list_pairs(folder)


def test_pictures_of_another_size_are_refused(folder):
    picture = folder / "lfw_home" / "lfw_funneled" / "Person_00" / "Person_00_0001.jpg"
    Image.new("RGB", (112, 112)).save(picture)
    with pytest.raises(UserError, match=r"Person_00_0001\.jpg: 112 x 112 px instead of 250 x 250"):
        read_middle(picture)
