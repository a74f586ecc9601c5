from __future__ import annotations

import json

import pytest

from dfpg.core.errors import UserError
from dfpg.data.faces.summary import summarise_prepared

KEPT = {
    "train": {"pictures": 12, "people": 5},
    "val": {"pictures": 0, "people": 0},
    "test": {"pictures": 7, "people": 3},
}


def test_says_what_is_kept_and_what_is_left_out_and_why(tmp_path):
    source = {
        "kept": KEPT,
        "alike_to_test_faces_of": {"train": {"celeba": 4, "helen": 1}},
        "no_usable_face": {"no face found": 66},
    }
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"faces": {"portraits": source}}))
    assert summarise_prepared(path).splitlines() == [
        "portraits: kept train 12 pictures of 5 people, val 0 pictures of 0 people, "
        "test 7 pictures of 3 people",
        "  train: people left out, by pictures alike to test faces: 4 to those of "
        "celeba, 1 to those of helen",
        "  nobody is left in val: no run can train on this set alone: add people, or join it with "
        "the embedded faces (source: embedded+portraits)",
        "  pictures left out: 66, no face found",
    ]


def test_a_set_with_people_of_every_split_has_no_warning(tmp_path):
    kept = {split: {"pictures": 2, "people": 1} for split in KEPT}
    source = {"kept": kept, "alike_to_test_faces_of": {}, "no_usable_face": {}}
    path = tmp_path / "summary.json"
    path.write_text(json.dumps({"faces": {"portraits": source}}))
    assert len(summarise_prepared(path).splitlines()) == 1


def test_profile_without_photographs_says_so(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text('{"faces": {}}\n')
    assert summarise_prepared(path) == "no photographs: this profile uses the embedded faces"


@pytest.mark.parametrize("text", ["", "[]", '{"faces": {"celeba": {}}}', '{"faces": []}'])
def test_damaged_summary_is_one_line(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"summary\.json: no readable summary: run `dfpg faces"):
        summarise_prepared(path)
