from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.toy_scores import PEOPLE, index_rows

from dfpg.commands.rescore import PART, _describe_difference, choose_part, rescore
from dfpg.core.errors import UserError
from dfpg.data.testsets import TestSet as Shards


def test_the_part_is_of_every_subset_and_framing_and_the_same_for_everybody(config):
    index = index_rows(config, "b")
    index["person"] = [f"p{number}" for number in index["image"]]
    part = choose_part(config, "b", index)
    groups = part.groupby(["subset", "mode"]).size()
    assert set(groups) == {PART}
    assert len(groups) == len(index.groupby(["subset", "mode"]))
    assert part["image"].is_monotonic_increasing
    pd.testing.assert_frame_equal(part, choose_part(config, "b", index))
    other = choose_part(config.model_copy(update={"seed": 1}), "b", index)
    assert part["image"].tolist() != other["image"].tolist()


def test_a_part_of_few_people_is_one_image_of_each(config):
    index = index_rows(config, "a")
    part = choose_part(config, "a", index)
    assert part.groupby(["subset", "mode"])["person"].nunique().eq(PEOPLE).all()
    assert len(part) == PEOPLE * len(part.groupby(["subset", "mode"]))


def test_without_a_record_there_is_one_line(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not here: `dvc pull` brings the record"):
        rescore(config)


def test_how_the_test_set_differs_is_said():
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.uint8)
    index = pd.DataFrame({"image": [0, 1]})
    recorded = Shards(images, images, index)
    assert "byte for byte" in _describe_difference(recorded, recorded)
    moved = images.copy()
    moved[1, 2, 3, 0] ^= 2
    said = _describe_difference(Shards(images, moved, index), recorded)
    assert said == "1 of 192 values differ from the record, by at most 2 of 255"
