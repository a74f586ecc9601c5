from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.data.faces.dataset import (
    FACES,
    LANDMARK_COLUMNS,
    check_source,
    load_faces,
    load_folder,
    read_index,
)


@pytest.fixture(scope="module")
def index():
    return read_index(ROOT / FACES)


@pytest.fixture
def copy(tmp_path, index) -> Path:
    (tmp_path / "faces").mkdir()
    index[index["split"] == "val"].head(4).to_csv(tmp_path / "faces.csv", index=False)
    for name in index[index["split"] == "val"]["file"].head(4):
        shutil.copy(ROOT / FACES / "faces" / name, tmp_path / "faces")
    return tmp_path


def test_embedded_faces_are_as_many_as_promised(index):
    people = index.groupby("split")["person"].nunique()
    assert people.sum() >= 400
    assert people["test"] >= 100
    assert (index.groupby("person").size() == 4).all()
    size = sum(path.stat().st_size for path in (ROOT / FACES).rglob("*") if path.is_file())
    assert size < 25e6


def test_no_person_is_in_two_splits(index):
    assert (index.groupby("person")["split"].nunique() == 1).all()


def test_landmarks_are_where_a_face_has_them(index):
    points = index[list(LANDMARK_COLUMNS)].to_numpy().reshape(-1, 5, 2)
    left_eye, right_eye, nose, left_mouth, right_mouth = points.transpose(1, 0, 2)
    assert (left_eye[:, 0] < right_eye[:, 0]).all()
    assert (left_mouth[:, 0] < right_mouth[:, 0]).all()
    assert (nose[:, 1] > (left_eye[:, 1] + right_eye[:, 1]) / 2).all()
    assert (left_mouth[:, 1] > nose[:, 1]).mean() > 0.99
    assert points.min() > 0
    assert points.max() < 160


def test_pictures_are_reduced_with_their_landmarks(copy):
    full = load_folder(copy, "val", None)
    half = load_folder(copy, "val", 80)
    assert full.pictures.shape == (4, 160, 160, 3)
    assert half.pictures.shape == (4, 80, 80, 3)
    assert np.allclose(full.landmarks, 2 * half.landmarks)
    blocks = full.pictures.reshape(4, 80, 2, 80, 2, 3).mean((2, 4))
    assert np.abs(blocks - half.pictures).mean() < 3


def test_order_is_by_file_name(copy):
    names = load_folder(copy, "val", None).names
    assert list(names) == sorted(names)


def prepare(folder, people, side=8, close=None):
    """Prepared pictures of one person each, all in the training split."""
    pictures = np.random.default_rng(len(people)).integers(0, 255, (len(people), side, side, 3))
    index = pd.DataFrame({"file": [f"{p}.jpg" for p in people], "person": people})
    index = index.assign(split="train", **dict.fromkeys(LANDMARK_COLUMNS, 1.5))
    folder.mkdir(parents=True)
    index.to_csv(folder / "faces.csv", index=False)
    np.save(folder / "train.npy", pictures.astype(np.uint8))
    (folder / "framings.json").write_text(json.dumps({"close": close, "wide": None}))
    return pictures


def test_prepared_sources_are_read_and_joined(tmp_path):
    one, two = prepare(tmp_path / "one", ["1", "2"]), prepare(tmp_path / "two", ["1"])
    alone = load_faces("one", "train", prepared=tmp_path)
    assert np.array_equal(alone.pictures, one)
    assert alone.people == ("1", "2")
    both = load_faces("one+two", "train", prepared=tmp_path)
    assert np.array_equal(both.pictures, np.concatenate([one, two]))
    assert both.people == ("one/1", "one/2", "two/1")
    assert both.landmarks.shape == (3, 5, 2)


def test_prepared_sources_that_do_not_fit_are_refused(tmp_path):
    prepare(tmp_path / "one", ["1", "2"])
    prepare(tmp_path / "two", ["1"], side=9)
    with pytest.raises(UserError, match="one 8 px, two 9 px"):
        load_faces("one+two", "train", prepared=tmp_path)
    with pytest.raises(UserError, match=r"test\.npy: missing or damaged: run `dvc repro -f faces`"):
        load_faces("one", "test", prepared=tmp_path)
    shutil.copy(tmp_path / "two" / "train.npy", tmp_path / "one" / "train.npy")
    with pytest.raises(UserError, match="1 pictures, but 2"):
        load_faces("one", "train", prepared=tmp_path)


def test_a_framing_shows_its_square_and_moves_the_landmarks(tmp_path):
    stored = prepare(tmp_path / "two_framings", ["1", "2"], side=12, close=[3, 1, 8])
    prepare(tmp_path / "one_framing", ["1"])
    close = load_faces("two_framings", "train", "close", tmp_path)
    assert np.array_equal(close.pictures, stored[:, 1:9, 3:11])
    assert close.landmarks[0, 0].tolist() == [1.5 - 3, 1.5 - 1]
    wide = load_faces("two_framings", "train", "wide", tmp_path)
    assert np.array_equal(wide.pictures, stored)
    both = load_faces("two_framings+one_framing", "train", "close", tmp_path)
    assert both.pictures.shape == (3, 8, 8, 3)
    with pytest.raises(UserError, match="two_framings 12 px, one_framing 8 px"):
        load_faces("two_framings+one_framing", "train", "wide", tmp_path)


def test_embedded_faces_have_one_framing():
    close, wide = (load_faces("embedded", "val", framing) for framing in ("close", "wide"))
    assert np.array_equal(close.pictures, wide.pictures)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"close": [1, 2]}'])
def test_lost_or_damaged_framings_are_named(tmp_path, content):
    prepare(tmp_path / "one", ["1"])
    path = tmp_path / "one" / "framings.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"framings\.json: missing or damaged: run `dvc repro"):
        load_faces("one", "train", "close", tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "x: 'nowhere' is no face source: use embedded, celeba"),
        ("embedded+celeba", r"celeba needs your own copy: set faces\.celeba\.path"),
    ],
)
def test_source_that_is_not_there_is_refused(config, source, message):
    check_source(config, "embedded", "x")
    with pytest.raises(UserError, match=message):
        check_source(config, source, "x")


def test_unknown_split_is_refused():
    with pytest.raises(UserError, match="all"):
        load_faces("embedded", "all")


def test_truncated_picture_is_named(copy):
    path = next((copy / "faces").iterdir())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=f"{path.name}: damaged image"):
        load_folder(copy, "val", None)


def test_index_without_a_column_is_refused(copy):
    (copy / "faces.csv").write_text("file,person\n")
    with pytest.raises(UserError, match=r"faces\.csv: no column"):
        load_folder(copy, "val", None)


def test_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"faces\.csv: missing"):
        read_index(tmp_path / "nothing")
