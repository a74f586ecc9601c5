from __future__ import annotations

import numpy as np
import pandas as pd

from dfpg.data.faces.duplicates import ALIKE, are_alike, group_alike, prune

AXES = np.eye(12, dtype=np.float32)


def near(axis: int, cosine: float, other: int = 11) -> np.ndarray:
    """Unit vector with this cosine to an axis."""
    return cosine * AXES[axis] + np.sqrt(1 - cosine**2) * AXES[other]


def index(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["person", "split"])


def test_alike_is_a_cosine_at_the_threshold():
    vectors = np.stack([near(0, ALIKE + 0.01), near(0, ALIKE - 0.01), near(1, 0.99)])
    assert are_alike(vectors, AXES[:1]).tolist() == [True, False, False]
    assert are_alike(vectors, AXES[:0]).tolist() == [False] * 3
    assert are_alike(vectors[:0], AXES[:1]).shape == (0,)


def test_chunks_change_nothing():
    stream = np.random.default_rng(0)
    vectors = stream.normal(size=(3000, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    others = vectors[:2]
    assert np.array_equal(are_alike(vectors, others), ((vectors @ others.T) >= ALIKE).any(1))


def test_training_people_alike_to_a_test_face_go_as_a_whole():
    one = index(("a", "train"), ("a", "train"), ("b", "train"), ("c", "val"), ("d", "test"))
    two = index(("x", "test"), ("y", "test"))
    pruning = prune(
        {"one": one, "two": two},
        {
            "one": np.stack([near(0, 0.9), AXES[1], AXES[2], near(3, 0.8), AXES[3]]),
            "two": np.stack([AXES[0], AXES[4]]),
        },
    )
    assert pruning.kept["one"].tolist() == [False, False, True, False, True]
    assert pruning.kept["two"].all()
    assert pruning.found == {"one": {"train": {"two": 1}, "val": {"one": 1}}, "two": {}}


def test_of_two_test_sets_the_larger_one_gives_way():
    small, large = index(("a", "test")), index(*[(name, "test") for name in "bcd"])
    vectors = {"large": np.stack([AXES[0], AXES[1], AXES[2]]), "small": near(1, 0.7)[None]}
    pruning = prune({"large": large, "small": small}, vectors)
    assert pruning.kept["large"].tolist() == [True, False, True]
    assert pruning.kept["small"].all()
    assert pruning.found["large"] == {"test": {"small": 1}}


def test_a_dropped_test_face_drops_nobody_from_training():
    small, large = index(("a", "test")), index(("b", "test"), ("c", "test"), ("d", "train"))
    vectors = {
        "large": np.stack([near(0, 0.6, 1), AXES[2], AXES[1]]),
        "small": AXES[:1],
    }
    pruning = prune({"large": large, "small": small}, vectors)
    assert pruning.kept["large"].tolist() == [False, True, True]


def test_alike_faces_without_identity_become_one_person_per_split():
    faces = index(*[(name, "test") for name in "abcd"], ("e", "train"), ("f", "train"))
    chain = np.stack([AXES[0], near(0, 0.7, 1), AXES[1], AXES[2], AXES[0], AXES[3]])
    kept = np.ones(6, np.bool_)
    assert group_alike(faces, chain, kept)["person"].tolist() == ["a", "a", "a", "d", "e", "f"]
    kept[1] = False
    assert group_alike(faces, chain, kept)["person"].tolist() == ["a", "b", "c", "d", "e", "f"]


def test_crops_of_a_photograph_stay_one_person():
    faces = index(("p", "test"), ("q", "test"), ("p", "test"))
    people = group_alike(faces, AXES[:3], np.ones(3, np.bool_))["person"]
    assert people.tolist() == ["p", "q", "p"]
