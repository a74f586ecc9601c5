from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dfpg.core.errors import UserError
from dfpg.data.faces.dataset import FaceSet
from dfpg.evaluation.recognition.pairs import (
    NEGATIVES,
    POSITIVES,
    Pair,
    deal_folds,
    draw_pairs,
    group_people,
    groups_of,
    read_pairs,
    read_published,
    write_pairs,
)


def face_set(people: int, pictures: int, singles: int = 0) -> FaceSet:
    owners = [f"p{i:02d}" for i in range(people) for _ in range(pictures)]
    owners += [f"single{i}" for i in range(singles)]
    count = Counter()
    names = []
    for owner in owners:
        names.append(f"{owner}_{count[owner]}.jpg")
        count[owner] += 1
    pixels = np.zeros((len(owners), 2, 2, 3), np.uint8)
    return FaceSet(pixels, tuple(owners), tuple(names), np.zeros((len(owners), 5, 2), np.float32))


def first_pictures(faces: FaceSet) -> list[str]:
    return [name for name in faces.names if name.endswith("_0.jpg")]


@pytest.mark.parametrize("people", [2, 3, 20, 31])
def test_references_show_the_right_people_and_are_no_probes(people):
    faces = face_set(people, 3)
    owner = dict(zip(faces.names, faces.people, strict=True))
    pairs = draw_pairs(faces, first_pictures(faces), seed=0)
    assert [pair.person for pair in pairs] == sorted(set(faces.people))
    for pair in pairs:
        assert owner[pair.positive] == pair.person
        assert owner[pair.negative] == pair.negative_person != pair.person
        assert {pair.positive, pair.negative}.isdisjoint(first_pictures(faces))
        assert pair.positive != next(p for p in pairs if p.negative_person == pair.person).negative
    # Every person is as often the other one as the probe.
    assert Counter(pair.negative_person for pair in pairs) == Counter(p.person for p in pairs)


def test_people_who_are_not_tested_or_have_one_picture_are_left_out():
    faces = face_set(6, 2, singles=2)
    pairs = draw_pairs(faces, ["p00_0.jpg", "p01_1.jpg", "p02_0.jpg", "single0_0.jpg"], seed=0)
    assert [pair.person for pair in pairs] == ["p00", "p01", "p02"]
    assert draw_pairs(faces, ["p00_0.jpg", "single0_0.jpg"], seed=0) == []


def test_two_pictures_per_person_suffice():
    faces = face_set(4, 2)
    for pair in draw_pairs(faces, first_pictures(faces), seed=3):
        assert pair.positive == f"{pair.person}_1.jpg"
        assert pair.negative == f"{pair.negative_person}_1.jpg"


def test_the_seed_draws_the_list_and_the_file_keeps_it(tmp_path):
    faces = face_set(20, 4)
    one, two = (draw_pairs(faces, first_pictures(faces), seed) for seed in (0, 1))
    assert one == draw_pairs(faces, first_pictures(faces), 0) != two
    write_pairs(one, tmp_path / "pairs.csv")
    assert read_pairs(tmp_path / "pairs.csv") == one
    write_pairs([], tmp_path / "none.csv")
    assert read_pairs(tmp_path / "none.csv") == []


@pytest.mark.parametrize("count", range(2, 9))
def test_cut_keeps_everyone_in_groups_of_two_or_three(count):
    groups = group_people([str(i) for i in range(count)])
    assert [name for group in groups for name in group] == [str(i) for i in range(count)]
    assert sorted(map(len, groups))[:-1] == [2] * (count // 2 - 1)
    assert len(groups[-1]) == 2 + count % 2


@pytest.mark.parametrize("people", [20, 61, 100])
def test_folds_share_no_person_and_are_balanced(people):
    faces = face_set(people, 2)
    pairs = draw_pairs(faces, first_pictures(faces), seed=0)
    folds = deal_folds(groups_of(pairs), 10, seed=0)
    assert all(folds[pair.person] == folds[pair.negative_person] for pair in pairs)
    sizes = Counter(folds.values())
    assert len(sizes) == 10
    assert max(sizes.values()) - min(sizes.values()) <= 2


def test_chains_of_negatives_are_one_group():
    pairs = [Pair("a", "", "", "x"), Pair("b", "", "", "x"), Pair("c", "", "", "b"),
             Pair("d", "", "", "y")]  # fmt: skip
    groups = groups_of(pairs)
    assert groups["a"] == groups["b"] == groups["c"] != groups["d"]
    assert set(groups) == {"a", "b", "c", "d"}
    assert set(deal_folds(groups, 10, 0).values()) == {0, 1}


def test_published_lists_are_read_by_index(tmp_path):
    (tmp_path / POSITIVES).write_text("1 024091.jpg\n10 038345.jpg\n101 050215.jpg\n")
    (tmp_path / NEGATIVES).write_text("1 062504.jpg\n10 053823.jpg\n")
    people = [("ten", "10.png"), ("one", "1.png"), ("missing", "101.png"), ("one", "1.png")]
    assert read_published(tmp_path, people) == [
        Pair("one", "024091.jpg", "062504.jpg", "person in 062504.jpg"),
        Pair("ten", "038345.jpg", "053823.jpg", "person in 053823.jpg"),
    ]
    with pytest.raises(UserError, match="no test face is named by an index"):
        read_published(tmp_path, [("p", "p00000_0.jpg")])
    (tmp_path / NEGATIVES).write_text("1\n")
    with pytest.raises(UserError, match="no list of lines"):
        read_published(tmp_path, people)


@pytest.mark.parametrize("text", [None, "hello\n", ""])
def test_a_damaged_list_is_one_line(tmp_path, text):
    path = tmp_path / "pairs.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match="evaluate baselines") as caught:
        read_pairs(path)
    assert "\n" not in str(caught.value)
