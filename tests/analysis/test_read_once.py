from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.toy_scores import scores_of

from dfpg.analysis.read_once import read_once
from dfpg.core.errors import UserError
from dfpg.evaluation.per_image import read_per_image, write_per_image


@pytest.fixture
def path(config, tmp_path) -> Path:
    write_per_image(scores_of(config, "b1", ("b",), 1.0), tmp_path / "b1.csv")
    return tmp_path / "b1.csv"


def counting(calls: list[Path]):
    def read(path: Path) -> pd.DataFrame:
        calls.append(path)
        return read_per_image(path)

    return read


def test_equal_bytes_are_checked_once_wherever_they_lie(path, tmp_path):
    calls: list[Path] = []
    read = counting(calls)
    first = read_once(read, path)
    pd.testing.assert_frame_equal(first, read_per_image(path))
    copy = path.rename(tmp_path / "moved.csv")
    pd.testing.assert_frame_equal(read_once(read, copy), first)
    assert calls == [path]


def test_what_a_caller_changes_is_not_what_the_next_one_gets(path):
    frame = read_once(read_per_image, path)
    frame["psnr"] = 0.0
    assert (read_once(read_per_image, path)["psnr"] != 0).all()


def test_a_changed_file_is_read_again_and_a_wrong_one_named_each_time(path, tmp_path):
    before = read_once(read_per_image, path)
    write_per_image(before.assign(psnr=before["psnr"] + 1), path)
    assert (read_once(read_per_image, path)["psnr"] > before["psnr"]).all()
    path.write_text("no scores")
    other = tmp_path / "other.csv"
    other.write_text("no scores")
    for wrong in (path, other, tmp_path / "missing.csv"):
        with pytest.raises(UserError, match=wrong.name):
            read_once(read_per_image, wrong)
