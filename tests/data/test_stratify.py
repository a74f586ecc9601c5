from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.stratify import (
    choose_faces,
    choose_pairs,
    first_kernel,
    pick_one_per_person,
    split_people,
)


def face_set(people):
    count = len(people)
    return FaceSet(
        np.zeros((count, 4, 4, 3), np.uint8),
        tuple(people),
        tuple(f"{n}.jpg" for n in range(count)),
        np.zeros((count, 5, 2), np.float32),
    )


def pairs(people, kernels, count, seed=0):
    return choose_pairs(people, kernels, count, np.random.default_rng(seed))


def spread(values, every):
    counts = Counter(values)
    return max(counts.values(), default=0) - min(counts[key] for key in every)


@pytest.mark.parametrize(
    ("persons", "faces_each", "kernels", "count"),
    [
        (40, 1, 10, 64),
        (33, 1, 10, 64),
        (32, 1, 10, 96),
        (6, 2, 3, 100),
        (5, 1, 10, 7),
        (8, 1, 10, 450),
    ],
)
def test_people_sizes_and_kernels_are_met_equally_often(persons, faces_each, kernels, count):
    people = [f"p{n % persons}" for n in range(persons * faces_each)]
    chosen = pairs(people, kernels, count)
    assert len(set(chosen)) == len(chosen) == count
    assert chosen == sorted(chosen)
    assert spread([pair.size for pair in chosen], NOMINAL_SIZES) <= 1
    assert spread([people[pair.face] for pair in chosen], set(people)) <= 1
    for size in NOMINAL_SIZES:
        used = [pair.kernel for pair in chosen if pair.size == size]
        assert spread(used, range(kernels)) <= 2


def test_a_persons_images_are_spread_over_the_sizes():
    chosen = pairs([f"p{n}" for n in range(32)], 10, 96)
    per_cell = Counter((pair.face, pair.size) for pair in chosen)
    assert max(per_cell.values()) == 1


def test_both_pictures_of_a_person_are_used():
    chosen = pairs(["x", "y", "x", "y"], 4, 32)
    assert spread([pair.face for pair in chosen], range(4)) <= 1


@pytest.mark.parametrize("count", [None, 2 * 8 * 3])
def test_all_pairs_without_a_count(count):
    chosen = pairs(["x", "y"], 3, count)
    assert len(chosen) == 48
    expected = [(size, face, k) for size in NOMINAL_SIZES for face in (0, 1) for k in range(3)]
    assert [tuple(pair) for pair in chosen] == expected


def test_almost_all_pairs_are_distinct_and_balanced_over_sizes():
    people = ["a", "a", "a", "b", "c"]
    for count in range(5 * 8 * 2 - 9, 5 * 8 * 2):
        chosen = pairs(people, 2, count)
        assert len(set(chosen)) == count
        assert spread([pair.size for pair in chosen], NOMINAL_SIZES) <= 1


def test_pairs_follow_from_the_seed():
    people = [f"p{n}" for n in range(9)]
    assert pairs(people, 10, 30) == pairs(people, 10, 30)
    assert pairs(people, 10, 30) != pairs(people, 10, 30, seed=1)


def test_more_pairs_than_there_are_is_a_user_error():
    with pytest.raises(UserError, match="images_per_subset: 17 asked for"):
        pairs(["x"], 2, 17)


def test_subsets_share_no_person(config):
    faces = {"embedded": face_set([f"p{n // 3}" for n in range(30)])}
    people = split_people(config, "b", faces)
    assert list(people) == list(config.protocols["b"].test.subsets)
    everyone = [person for group in people.values() for person in group]
    assert len(everyone) == len(set(everyone)) == 10
    assert max(map(len, people.values())) - min(map(len, people.values())) <= 1
    assert people == split_people(config, "b", faces)


def test_one_picture_per_person_while_people_suffice():
    faces = face_set(["a", "a", "a", "b", "b", "c"])
    stream = np.random.default_rng
    for seed in range(5):
        three = choose_faces(faces, ["c", "a", "b"], 3, stream(seed))
        assert {faces.people[row] for row in three} == {"a", "b", "c"}
        five = choose_faces(faces, ["c", "a", "b"], 5, stream(seed))
        assert len(set(five)) == 5
        assert Counter(faces.people[row] for row in five) == {"a": 2, "b": 2, "c": 1}
    only_b = choose_faces(faces, ["b"], 2, stream(0))
    assert sorted(only_b) == [3, 4]


def test_too_few_pictures_are_a_user_error():
    with pytest.raises(UserError, match="faces_per_subset: 3 pictures asked for"):
        choose_faces(face_set(["a", "a", "b"]), ["a"], 3, np.random.default_rng(0))


def test_protocol_b_gives_every_subset_its_own_kernels_and_a_shares_them(config):
    assert [first_kernel(config, "b", subset) for subset in range(3)] == [0, 10, 20]
    assert [first_kernel(config, "a", subset) for subset in range(2)] == [0, 0]
    few = config.kernels.spline.model_copy(update={"test": 29})
    kernels = config.kernels.model_copy(update={"spline": few})
    with pytest.raises(UserError, match=r"kernels\.spline\.test: 29 .* ffhq .* needs 30"):
        first_kernel(config.model_copy(update={"kernels": kernels}), "b", 2)


def test_one_image_of_each_person_with_sizes_spread_evenly():
    people = [f"p{number % 30}" for number in range(240)]
    sizes = np.random.default_rng(1).permutation(np.repeat(NOMINAL_SIZES, 30))
    rows = pd.DataFrame({"person": people, "size": sizes}, index=range(100, 340))
    chosen = rows.loc[pick_one_per_person(rows, 16, np.random.default_rng(0))]
    assert chosen["person"].is_unique
    assert set(chosen["size"].value_counts()) == {2}
    again = pick_one_per_person(rows, 16, np.random.default_rng(0))
    assert again == chosen.index.tolist()
    assert again != pick_one_per_person(rows, 16, np.random.default_rng(1))
    assert len(pick_one_per_person(rows, 99, np.random.default_rng(0))) == 30
