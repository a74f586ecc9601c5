from __future__ import annotations

import numpy as np
import pytest
from helpers.layouts import save
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights
from dfpg.report.real_blur import CELL, GAP, LINE, real_blur_sheet

RUN = "nafnet"


@pytest.fixture
def weights(config, tmp_path):
    """NAFNet in its identity start: it gives back what it gets."""
    method = build_method(config, RUN, None)
    folder = tmp_path / "weights"
    save_weights(folder / f"{RUN}.safetensors", method, 0)
    return folder


@pytest.fixture
def blurred(tmp_path):
    stream = np.random.default_rng(0)
    for name, shape in (("a", (64, 64)), ("b", (48, 80))):
        save(tmp_path / "blurred" / f"{name}.png", stream.integers(0, 256, (*shape, 3), np.uint8))
    return tmp_path / "blurred"


def cell(sheet: np.ndarray, row: int, column: int, height: int, width: int) -> np.ndarray:
    top, left = LINE + row * (CELL + GAP + LINE), column * (CELL + GAP)
    return sheet[top : top + height, left : left + width]


def test_every_picture_stands_beside_what_the_run_makes_of_it(config, weights, blurred, tmp_path):
    out = tmp_path / "sheet.png"
    assert real_blur_sheet(config, blurred, out, weights, {"theirs": blurred}) == 2
    sheet = np.asarray(Image.open(out))
    for row, (name, height, width) in enumerate((("a", 64, 64), ("b", 48, 80))):
        picture = np.asarray(Image.open(blurred / f"{name}.png"))
        for column in range(3):
            shown = cell(sheet, row, column, height, width)
            assert np.abs(shown.astype(int) - picture).max() <= 1, (name, column)


def test_sheet_of_real_people_stays_out_of_the_project(
    config, weights, blurred, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="stay out of the repository"):
        real_blur_sheet(config, blurred, tmp_path / "docs" / "sheet.png", weights, {})
    real_blur_sheet(config, blurred, tmp_path / "artifacts" / "sheet.png", weights, {})
    assert not (tmp_path / "docs").exists()


def test_what_is_missing_is_named(config, weights, blurred, tmp_path):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "sheet.png"
    with pytest.raises(UserError, match="no images of"):
        real_blur_sheet(config, tmp_path / "empty", out, weights, {})
    with pytest.raises(UserError, match="no weights of any run"):
        real_blur_sheet(config, blurred, out, tmp_path / "empty", {})
    save(tmp_path / "other" / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="other: no picture b"):
        real_blur_sheet(config, blurred, out, weights, {"theirs": tmp_path / "other"})
    assert not out.exists()
