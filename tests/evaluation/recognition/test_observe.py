from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from dfpg.core.config import PublishedPairs
from dfpg.core.errors import UserError
from dfpg.core.files import write_image
from dfpg.data.faces.dataset import FaceSet
from dfpg.evaluation.per_image import KEYS, RECOGNITION_COLUMNS, read_recognition
from dfpg.evaluation.recognition.observe import Recogniser
from dfpg.evaluation.recognition.pairs import NEGATIVES, POSITIVES, Pair, write_pairs
from dfpg.evaluation.recognition.references import (
    CELEBA_CROP,
    References,
    build_references,
    load_references,
    table3_rows,
)
from dfpg.metrics.detection import Box
from dfpg.pretrained.detector import Detection

SIDE = 16


def points(value: float) -> np.ndarray:
    return np.full((5, 2), value, np.float32)


class Scrfd:
    """Finds a face in pictures whose first pixel is not black; its points tell the picture."""

    def __init__(self):
        self.calls = 0

    def __call__(self, picture):
        self.calls += 1
        value = float(picture[0, 0, 0])
        if not value:
            return []
        return [Detection(0.75, np.array([1, 2, 3, 4], np.float32), points(value))]


class Hog:
    def __call__(self, picture):
        return Box(1.5, 1, 2, 11, 12) if picture[0, 0, 1] else None


class Embedder:
    """Unit vector of two dimensions whose angle is the mean of the points, in degrees."""

    def __call__(self, _, landmarks):
        angle = np.deg2rad(landmarks.mean())
        return np.array([np.cos(angle), np.sin(angle)], np.float32)


def picture(red: int, green: int = 0) -> np.ndarray:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[..., 0], image[..., 1] = red, green
    return image


class Set:
    """Five images of two people, one of them outside Table 3's test set."""

    sharp = np.stack([picture(30), picture(0), picture(50)])
    index = pd.DataFrame(
        [
            (0, "celeba", "center", "a", "a_0.jpg", 0, 0, 13),
            (1, "celeba", "center", "a", "a_0.jpg", 0, 1, 13),
            (2, "helen", "center", "h", "h.jpg", 2, 1, 13),
            (3, "celeba", "center", "b", "b_0.jpg", 1, 1, 13),
            (4, "celeba", "center", "c", "c_0.jpg", 0, 1, 13),
        ],
        columns=["image", "subset", "mode", "person", "face", "sharp", "kernel", "size"],
    )


FACES = FaceSet(
    np.stack([picture(value) for value in (30, 40, 0, 0, 90)]),
    ("a", "a", "b", "b", "c"),
    ("a_0.jpg", "a_1.jpg", "b_0.jpg", "b_1.jpg", "c_0.jpg"),
    np.stack([points(value) for value in (30, 41, 20, 70, 90)]),
)


@pytest.fixture
def references(config, tmp_path) -> References:
    build_references(config, Set, FACES, Scrfd(), Embedder(), tmp_path)
    return load_references(tmp_path)


def expected(angle: float, other: float) -> float:
    return 2 - 2 * np.cos(np.deg2rad(angle - other))


def test_references_are_embedded_once_per_picture_with_points_to_fall_back_on(references):
    assert [pair.person for pair in references.pairs] == ["a", "b"]  # c has one picture
    assert [pair.positive for pair in references.pairs] == ["a_1.jpg", "b_1.jpg"]
    # a_1 is found at 40; b_1 is black: its stored points, 70, are used.
    angles = np.rad2deg(np.arctan2(references.positive[:, 1], references.positive[:, 0]))
    np.testing.assert_allclose(angles, [40, 70], rtol=1e-5)
    np.testing.assert_array_equal(references.negative, references.positive[::-1])
    assert references.landmarks[0].mean() == 30
    assert np.isnan(references.landmarks[1:]).all()  # black; not of Table 3's set


def test_values_of_every_image(references, tmp_path):
    recogniser = Recogniser(Hog(), Scrfd(), Embedder(), references)
    images = np.stack([picture(60), picture(0), picture(9), picture(70, 1), picture(80, 1)])
    recogniser("a", "mine", Set.index, images)
    recogniser("b", "mine", Set.index, images)
    recogniser.write(tmp_path / "mine.csv")
    rows = read_recognition(tmp_path / "mine.csv")
    assert list(rows.columns) == [*KEYS, *RECOGNITION_COLUMNS]
    assert rows["image"].tolist() == [0, 1, 3, 4]
    assert set(rows["test_set"]) == {"shen"}
    found, lost, other, single = (row for _, row in rows.iterrows())
    assert np.isnan(found["dlib_hog_score"])
    assert other[["dlib_hog_score", "dlib_hog_left", "dlib_hog_bottom"]].tolist() == [1.5, 1, 12]
    assert found[["scrfd_faces", "scrfd_score", "scrfd_bottom", "scrfd_y4"]].tolist() == [
        1, 0.75, 4, 60,
    ]  # fmt: skip
    assert found["detected_positive"] == pytest.approx(expected(60, 40), rel=1e-4)
    assert found["detected_negative"] == pytest.approx(expected(60, 70), rel=1e-4)
    # Not found in the probe; aligned by the sharp image's points, 30.
    assert lost["scrfd_faces"] == 0
    assert np.isnan(lost[["scrfd_score", "detected_positive", "detected_negative"]].tolist()).all()
    assert lost["sharp_positive"] == pytest.approx(expected(30, 40), rel=1e-4)
    # Found in the probe, but not in the sharp image.
    assert other["detected_positive"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(other["sharp_positive"])
    # A person without references is detected, and compared with nobody.
    assert single["scrfd_faces"] == 1
    assert np.isnan(single[["detected_positive", "sharp_negative"]].tolist()).all()


def test_repeated_images_are_looked_at_once(references):
    scrfd = Scrfd()
    recogniser = Recogniser(Hog(), scrfd, Embedder(), references)
    recogniser("a", "sharp", Set.index, np.stack([picture(30)] * 5))
    assert scrfd.calls == 3  # three people


def test_a_run_outside_protocol_a_writes_the_header_alone(references, tmp_path):
    recogniser = Recogniser(Hog(), Scrfd(), Embedder(), references)
    recogniser("b", "b1", Set.index, np.stack([picture(30)] * 5))
    recogniser.write(tmp_path / "b1.csv")
    assert (tmp_path / "b1.csv").read_text() == ",".join([*KEYS, *RECOGNITION_COLUMNS]) + "\n"
    assert read_recognition(tmp_path / "b1.csv").empty


def test_the_next_run_begins_with_no_rows_of_the_last(references, tmp_path):
    recogniser = Recogniser(Hog(), Scrfd(), Embedder(), references)
    for run in ("first", "second"):
        recogniser("a", run, Set.index, np.stack([picture(30)] * 5))
        recogniser.write(tmp_path / f"{run}.csv")
        assert set(read_recognition(tmp_path / f"{run}.csv")["method"]) == {run}


def test_table_3_is_the_celeba_slot_of_protocol_a_in_the_centre():
    assert table3_rows(Set.index)["image"].tolist() == [0, 1, 3, 4]


def test_a_profile_without_the_slot_has_no_pairs(config, tmp_path):
    class Other(Set):
        index = Set.index[Set.index["subset"] == "helen"]

    build_references(config, Other, None, Scrfd(), Embedder(), tmp_path)
    assert load_references(tmp_path).pairs == ()


def published(config, folder: Path, red: int):
    """The lists name one picture of each kind, and the face of ``a`` by its file's stem."""
    for name, file in ((POSITIVES, "1.png"), (NEGATIVES, "2.png")):
        (folder / name).write_text(f"a_0 {file}\n")
    for file, value in (("1.png", red), ("2.png", 80)):
        whole = np.zeros((218, 178, 3), np.uint8)
        whole[CELEBA_CROP] = value
        write_image(folder / file, whole)
    pairs = PublishedPairs(lists=str(folder), pictures=str(folder))
    recognition = config.recognition.model_copy(update={"published_pairs": pairs})
    return config.model_copy(update={"recognition": recognition})


def test_published_pairs_are_read_from_the_users_celeba(config, tmp_path):
    own = published(config, tmp_path, red=20)
    build_references(own, Set, FACES, Scrfd(), Embedder(), tmp_path)
    references = load_references(tmp_path)
    assert references.pairs == (Pair("a", "1.png", "2.png", "person in 2.png"),)
    for vectors, angle in ((references.positive, 20), (references.negative, 80)):
        assert np.rad2deg(np.arctan2(vectors[0, 1], vectors[0, 0])) == pytest.approx(angle)


def test_a_published_picture_without_a_face_is_refused(config, tmp_path):
    own = published(config, tmp_path, red=0)
    with pytest.raises(UserError, match=r"1\.png: no face found in this reference picture"):
        build_references(own, Set, FACES, Scrfd(), Embedder(), tmp_path)
    assert not (tmp_path / "pairs.csv").exists()


def test_missing_references_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"pairs\.csv: no list of pairs; run `dfpg evaluate base"):
        load_references(tmp_path)


def test_references_that_lack_a_row_are_refused(references, tmp_path):
    write_pairs(references.pairs[1:], tmp_path / "pairs.csv")
    vectors = {name: getattr(references, name) for name in ("positive", "negative", "landmarks")}
    save_file(vectors, tmp_path / "references.safetensors")
    with pytest.raises(UserError, match=r"pairs\.csv: \d+ pairs, but \d+ and \d+ vectors"):
        load_references(tmp_path)
    write_pairs(references.pairs, tmp_path / "pairs.csv")
    assert load_references(tmp_path).pairs == tuple(references.pairs)


def test_a_value_that_is_no_number_is_refused(references, tmp_path):
    recogniser = Recogniser(Hog(), Scrfd(), Embedder(), references)
    recogniser("a", "mine", Set.index, np.stack([picture(30)] * 5))
    recogniser.write(tmp_path / "mine.csv")
    text = (tmp_path / "mine.csv").read_text()
    (tmp_path / "mine.csv").write_text(text.replace("0.75", "abc", 1))
    with pytest.raises(UserError, match="'abc' is missing, or is not of the column's type"):
        read_recognition(tmp_path / "mine.csv")
