from __future__ import annotations

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest
import torch

from dfpg.core.errors import UserError
from dfpg.data import testsets
from dfpg.evaluation.per_image import KEYS, read_per_image
from dfpg.evaluation.score import score_testsets
from dfpg.paper.tables import TEST_IMAGES

SIDE = 8
PAIRS = ((0, 0), (2, 1), (1, 0), (0, 3), (2, 2))  # (row of sharp, kernel) of each image


class Psnr:
    """Plain PSNR whose features, two tensors, count the faces they are made of."""

    def __init__(self):
        self.faces = 0

    def features(self, sharp):
        self.faces += len(sharp)
        return sharp.double(), sharp.flatten(1).sum(1)

    def score(self, restored, features):
        images, sums = features
        assert restored.dtype == torch.uint8
        assert torch.equal(images.flatten(1).sum(1), sums.double())
        error = ((restored.double() - images) ** 2).mean((1, 2, 3))
        return 10 * torch.log10(255**2 / error)


class Mean:
    """Mean grey level of the restored image: tells which image was scored."""

    def features(self, sharp):
        return (sharp,)

    def score(self, restored, _):
        return restored.double().mean((1, 2, 3))


@pytest.fixture
def testset():
    rng = np.random.default_rng(0)
    sharp = rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    blurred = np.stack([np.roll(sharp[face], kernel + 1, 0) for face, kernel in PAIRS])
    rows = [
        (image, "celeba", "center", f"p{face}", f"p{face}.jpg", face, kernel, 13)
        for image, (face, kernel) in enumerate(PAIRS)
    ]
    names = ["image", "subset", "mode", "person", "face", "sharp", "kernel", "size"]
    return testsets.TestSet(sharp, blurred, pd.DataFrame(rows, columns=names))


def rows_of(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def halve(blurred):
    return blurred / 2


def expected_psnr(testset, image, restored):
    sharp = testset.sharp[PAIRS[image][0]].astype(float)
    return 10 * math.log10(255**2 / np.mean((restored.astype(float) - sharp) ** 2))


def test_each_image_is_scored_against_its_own_face_in_sorted_rows(config, testset, tmp_path):
    out = tmp_path / "b1.csv"
    rate = score_testsets(
        config, "b1", halve, {"b": testset}, {"psnr": Psnr(), "mean": Mean()}, out
    )
    rows = rows_of(out)
    assert rate > 0
    assert list(rows[0]) == [*KEYS, "psnr", "mean"]
    assert [int(row["image"]) for row in rows] == list(range(5))
    for image, row in enumerate(rows):
        # [-1, 1] halved, then quantised.
        restored = np.round((testset.blurred[image] / 127.5 - 1) / 2 * 127.5 + 127.5)
        assert float(row["psnr"]) == pytest.approx(
            expected_psnr(testset, image, restored), abs=0.05
        )
        assert float(row["mean"]) == pytest.approx(restored.mean(), abs=0.05)
        assert (row["method"], row["test_set"]) == ("b1", "mspl")
        assert (row["person"], int(row["kernel"])) == (f"p{PAIRS[image][0]}", PAIRS[image][1])


def test_baselines_are_two_rows_per_image_and_sharp_is_infinite(config, testset, tmp_path):
    out = tmp_path / "baselines.csv"
    score_testsets(config, "baselines", None, {"b": testset, "a": testset}, {"psnr": Psnr()}, out)
    rows = rows_of(out)
    keys = [(row["method"], row["test_set"], int(row["image"])) for row in rows]
    assert keys == [
        (method, test_set, image)
        for method in ("blurred", "sharp")
        for test_set in ("mspl", "shen")
        for image in range(5)
    ]
    assert {row["psnr"] for row in rows if row["method"] == "sharp"} == {"inf"}
    blurred = [row for row in rows if row["method"] == "blurred"]
    for row in blurred:
        image = int(row["image"])
        expected = expected_psnr(testset, image, testset.blurred[image])
        assert row["psnr"] == f"{expected:.6f}"
    assert np.isinf(read_per_image(out)["psnr"]).sum() == 10


def test_an_identity_method_scores_like_blurred(config, testset, tmp_path):
    for name, restore in (("b1", lambda blurred: blurred), ("baselines", None)):
        score_testsets(config, name, restore, {"b": testset}, {"psnr": Psnr()}, tmp_path / name)
    blurred = [row["psnr"] for row in rows_of(tmp_path / "baselines") if row["method"] == "blurred"]
    assert [row["psnr"] for row in rows_of(tmp_path / "b1")] == blurred


def test_features_of_a_face_are_computed_once_per_batch(config, testset, tmp_path):
    metric = Psnr()
    score_testsets(config, "baselines", None, {"b": testset}, {"psnr": metric}, tmp_path / "x.csv")
    assert config.evaluation.batch_size >= len(PAIRS)
    assert metric.faces == 3


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_batch_size_changes_no_byte(config, testset, tmp_path, batch_size):
    outs = []
    for size in (5, batch_size):
        settings = config.evaluation.model_copy(update={"batch_size": size})
        other = config.model_copy(update={"evaluation": settings})
        outs.append(tmp_path / f"{len(outs)}.csv")
        score_testsets(
            other, "b1", halve, {"b": testset}, {"psnr": Psnr(), "mean": Mean()}, outs[-1]
        )
    assert outs[0].read_bytes() == outs[1].read_bytes()


@pytest.mark.parametrize(
    ("restore", "message"),
    [
        (lambda blurred: blurred[:, :, ::2], "b1: restored images have shape"),
        (lambda blurred: blurred * math.nan, "b1: restored images are not finite"),
    ],
)
def test_bad_output_is_refused_and_earlier_scores_stay(config, testset, tmp_path, restore, message):
    out = tmp_path / "b1.csv"
    out.write_text("earlier")
    with pytest.raises(UserError, match=message):
        score_testsets(config, "b1", restore, {"b": testset}, {"psnr": Psnr()}, out)
    assert out.read_text() == "earlier"


def test_names_survive_reading_as_text(config, testset, tmp_path):
    index = testset.index.assign(person="007", face="nan")
    named = testsets.TestSet(testset.sharp, testset.blurred, index)
    score_testsets(config, "b1", halve, {"b": named}, {"mean": Mean()}, tmp_path / "b1.csv")
    scores = read_per_image(tmp_path / "b1.csv")
    assert set(zip(scores["person"], scores["face"], strict=True)) == {("007", "nan")}


@pytest.mark.parametrize("bad", ["", "abc"])
def test_a_metric_that_is_no_number_is_refused(config, testset, tmp_path, bad):
    path = tmp_path / "b1.csv"
    score_testsets(config, "b1", halve, {"b": testset}, {"mean": Mean()}, path)
    first = rows_of(path)[0]["mean"]
    path.write_text(path.read_text().replace(first, bad, 1))
    with pytest.raises(UserError, match=r"column 'mean', row 1: .* is missing, or is not of"):
        read_per_image(path)


def test_the_observer_sees_what_is_scored(config, testset, tmp_path):
    seen = []

    def observe(protocol, method, rows, images):
        for image, pixels in zip(rows["image"], images, strict=True):
            seen.append((TEST_IMAGES[protocol], method, image, pixels.mean()))

    out = tmp_path / "baselines.csv"
    score_testsets(
        config, "baselines", None, {"b": testset}, {"mean": Mean()}, out, observe=observe
    )
    scored = [
        (row["test_set"], row["method"], int(row["image"]), pytest.approx(float(row["mean"])))
        for row in rows_of(out)
    ]
    assert sorted(seen) == scored
