from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.kernels import copy_kernels
from helpers.places import ROOT
from helpers.toys import Toy
from PIL import Image

from dfpg.commands.sheet import sheet as sheet_command
from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.core.paths import KERNELS
from dfpg.core.profile import use_profile
from dfpg.data.testsets import TestSet as Shards
from dfpg.data.testsets import open_testset
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights
from dfpg.report.sheet import GAP, LABELS, LINE, Example, SheetColumn, columns, draw, examples
from dfpg.stages.testsets import testsets as make_testsets

SIDE = 32


@pytest.fixture
def testset() -> Shards:
    """Ten images in each of two framings, each with its own error in grey levels."""
    generator = np.random.default_rng(0)
    sharp = generator.integers(60, 196, (5, SIDE, SIDE, 3), dtype=np.uint8)
    faces = np.tile(np.arange(5), 4)
    errors = np.array([*range(1, 11), *range(31, 41)], np.uint8)
    generator.shuffle(errors)
    index = pd.DataFrame({"image": range(20), "sharp": faces, "mode": ["center", "random"] * 10})
    return Shards(sharp, sharp[faces] + errors[:, None, None, None], index)


def expected(testset: Shards, mode: str) -> list[int]:
    """Best, median and worst image by their squared errors."""
    rows = testset.index[testset.index["mode"] == mode]
    error = {
        image: np.square(testset.blurred[image].astype(float) - testset.sharp[face]).mean()
        for image, face in zip(rows["image"], rows["sharp"], strict=True)
    }
    order = sorted(error, key=lambda image: error[image])
    return [order[0], order[len(order) // 2], order[-1]]


def test_examples_are_the_best_median_and_worst_blurred_image_of_each_framing(testset):
    found = examples(testset)
    assert [example.label for example in found[:3]] == [
        "center\nbest",
        "center\nmedian",
        "center\nworst",
    ]
    assert [e.image for e in found] == expected(testset, "center") + expected(testset, "random")


def test_a_single_image_is_its_own_best_median_and_worst(testset):
    one = Shards(testset.sharp, testset.blurred, testset.index[3:4])
    assert [e.image for e in examples(one)] == [3, 3, 3]


def test_columns_are_blurred_every_method_and_sharp(testset):
    method = Toy()
    chosen = [Example(4, ""), Example(1, "")]
    found = columns(testset, chosen, {"toy": method.restore}, torch.device("cpu"))
    assert [column.heading for column in found] == ["blurred", "toy", "sharp"]
    assert np.array_equal(found[0].pictures, testset.blurred[[4, 1]])
    assert np.array_equal(found[2].pictures, testset.sharp[[4, 1]])
    image = torch.from_numpy(testset.blurred[1] / np.float32(127.5) - 1).permute(2, 0, 1)[None]
    restored = (method.restore(image)[0].permute(1, 2, 0) + 1) * 127.5
    assert np.abs(found[1].pictures[1] - restored.numpy()).max() <= 0.501


def test_pictures_lie_enlarged_under_their_headings_with_their_psnr(tmp_path):
    generator = np.random.default_rng(1)
    shown = [
        SheetColumn(name, generator.integers(0, 256, (2, SIDE, SIDE, 3), dtype=np.uint8))
        for name in ("blurred", "run", "sharp")
    ]
    draw(tmp_path / "sheet.png", "title", [Example(0, "center\nbest"), Example(1, "b")], shown)
    sheet = read_image(tmp_path / "sheet.png")
    cell = 4 * SIDE  # 32 px go four times into 128
    assert sheet.shape == (2 * LINE + 2 * (cell + LINE + GAP), LABELS + 3 * (cell + GAP), 3)
    for number, column in enumerate(shown):
        left = LABELS + number * (cell + GAP)
        assert (sheet[LINE : 2 * LINE, left : left + cell] < 128).any()  # the heading
        for row, picture in enumerate(column.pictures):
            top = 2 * LINE + row * (cell + LINE + GAP)
            drawn = Image.fromarray(sheet[top : top + cell, left : left + cell])
            small = drawn.resize((SIDE, SIDE), Image.Resampling.NEAREST)
            assert np.array_equal(np.asarray(small), picture)
            below = sheet[top + cell : top + cell + LINE, left : left + cell]
            assert (below < 128).any() == (column.heading != "sharp")


def test_a_long_title_is_broken_and_moves_the_pictures_down(tmp_path):
    shown = [
        SheetColumn(name, np.zeros((1, SIDE, SIDE, 3), np.uint8)) for name in ("blurred", "sharp")
    ]
    draw(tmp_path / "sheet.png", "a title of many words " * 8, [Example(0, "row")], shown)
    sheet = read_image(tmp_path / "sheet.png")
    cell = 4 * SIDE
    pictures = np.flatnonzero((sheet[:, LABELS : LABELS + cell] == 0).all((1, 2)))
    lines = pictures[0] // LINE - 1
    assert lines > 1
    assert all((sheet[i * LINE : (i + 1) * LINE] < 128).any() for i in range(lines))
    assert (sheet[: lines * LINE, -2:] == 255).all()  # nothing is cut off at the right


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_profile("smoke", tmp_path / "params.yaml")
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_sheet_per_protocol_shows_the_runs_that_have_weights(project, config):
    copy_kernels(config, KERNELS)
    for protocol in ("a", "b"):
        make_testsets(protocol)
    runs = ("dfpg_a", "b1", "xia2019")  # the last one is scored on both test sets
    for run in runs:
        method = build_method(config, run, None)
        save_weights(project / "artifacts" / "weights" / f"{run}.safetensors", method, 1)
    text = sheet_command(project / "sheets" / "restored.png")
    assert "restored_a.png: 3 images, 2 runs" in text
    assert "restored_b.png: 6 images, 2 runs" in text
    for protocol, rows in (("a", 3), ("b", 6)):
        chosen = examples(open_testset(project / "artifacts" / "testsets" / protocol))
        assert len(chosen) == rows
        sheet = read_image(project / "sheets" / f"restored_{protocol}.png")
        assert sheet.shape[1] == LABELS + 4 * (128 + GAP)
    shutil.rmtree(project / "artifacts" / "testsets" / "a")  # b1 is not tested there
    sheet_command(project / "one.png", ["b1"])
    assert read_image(project / "one_b.png").shape[1] == LABELS + 3 * (128 + GAP)
    assert not (project / "one_a.png").exists()
    with pytest.raises(UserError, match=r"runs\.b9: no such run: use one of"):
        sheet_command(project / "one.png", ["b9"])


def test_without_weights_the_sheet_is_refused(project):
    with pytest.raises(UserError, match=r"artifacts/weights: no weights of any run; train one"):
        sheet_command(project / "restored.png")
