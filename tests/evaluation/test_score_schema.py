"""A file of scores with one wrong cell is refused in one line that names column and row."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.counts import count
from helpers.toy_scores import recognition_of, scores_of

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.evaluation.per_image import (
    KEYS,
    RECOGNITION_COLUMNS,
    read_per_image,
    read_recognition,
    write_per_image,
    write_recognition,
)

ROW = 3
WRONG = ("inf", "-inf", "nan", "", "text", "1e308", "-1000", "-1e-3x", "True", "0x10", "1;2")


@pytest.fixture(scope="module")
def scores(config: Config) -> pd.DataFrame:
    return scores_of(config, "b1", ("b",), 1.0)


def write(scores: pd.DataFrame, folder: Path, column: str, value: str) -> Path:
    """A file of scores with one cell replaced."""
    path = folder / "b1.csv"
    write_per_image(scores, path)
    lines = path.read_text().splitlines()
    cells = lines[ROW].split(",")
    cells[lines[0].split(",").index(column)] = value
    lines[ROW] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return path


def refusal(reader, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        reader(path)
    line = str(caught.value)
    assert line.isprintable()
    assert str(path) in line
    assert len(line) < len(str(path)) + 200
    return line


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("psnr", "inf"),
        ("psnr", "-inf"),
        ("psnr", "1e308"),
        ("psnr", "-1000"),
        ("ssim_matlab_rgb", "7"),
        ("size", "text"),
        ("size", "0"),
        ("kernel", "text"),
        ("image", "text"),
        ("image", "-1"),
        ("image", "1.5"),
        ("test_set", "b"),
        ("mode", "sideways"),
        ("person", ""),
        ("method", "x" * 2000),
        ("lpips_vgg", "-1"),
        ("d_vgg_authors", "-1"),
    ],
)
def test_a_value_that_cannot_be_names_column_and_row(scores, tmp_path, column, value):
    line = refusal(read_per_image, write(scores, tmp_path, column, value))
    assert f"column {column!r}, row {ROW}: " in line


@pytest.mark.slow
def test_every_wrong_cell_of_every_column_is_refused(scores, tmp_path):
    columns = [*KEYS, *scores.columns.difference(KEYS)]
    texts = ("method", "subset", "person", "face")  # which may hold nearly anything
    tried = 0
    for column, value in itertools.product(columns, WRONG):
        if column in texts and value:
            continue
        refusal(read_per_image, write(scores, tmp_path, column, value))
        tried += 1
    count("malformed cells in files of scores", tried, "0 accepted, 0 tracebacks")


def test_an_image_that_is_there_twice_is_refused(scores, tmp_path):
    write_per_image(pd.concat([scores, scores.head(1)]), tmp_path / "b1.csv")
    assert "its image is there twice" in refusal(read_per_image, tmp_path / "b1.csv")


def test_psnr_is_infinite_where_the_image_equals_the_sharp_one(config, tmp_path):
    sharp = scores_of(config, "sharp", ("b",), 0.0)
    assert np.isinf(sharp["psnr"]).all()
    write_per_image(sharp, tmp_path / "sharp.csv")
    assert np.isinf(read_per_image(tmp_path / "sharp.csv")["psnr"]).all()


def test_what_was_written_is_read_back_in_its_types(scores, tmp_path):
    write_per_image(scores, tmp_path / "b1.csv")
    found = read_per_image(tmp_path / "b1.csv")
    assert {found[name].dtype.kind for name in ("image", "kernel", "size")} == {"i"}
    assert {found[name].dtype.kind for name in scores.columns.difference(KEYS)} == {"f"}
    metrics = list(scores.columns.difference(KEYS))
    expected = scores.sort_values("image")[metrics].to_numpy()
    np.testing.assert_allclose(found[metrics].to_numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("name", RECOGNITION_COLUMNS)
@pytest.mark.parametrize(
    "values", [("text",), pytest.param(("1e308", "-1e9", "inf"), marks=pytest.mark.slow)]
)
def test_a_wrong_cell_of_what_was_recognised_is_refused(config, tmp_path, name, values):
    path = tmp_path / "b1.csv"
    write_recognition([recognition_of(config, "b1", ("a",), 0.0)], path)
    whole = pd.read_csv(path, dtype=str)
    for value in values:
        wrong = whole.copy()
        wrong.loc[ROW - 1, name] = value
        wrong.to_csv(path, index=False)
        assert f"column {name!r}, row {ROW}: " in refusal(read_recognition, path)
