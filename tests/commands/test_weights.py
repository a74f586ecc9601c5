from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.places import ROOT, SHARED
from helpers.released import dmphn_files
from PIL import Image

from dfpg.commands import weights
from dfpg.commands.weights import Pair, check_weights, example_pair
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
from dfpg.data.testsets import MANIFEST
from dfpg.methods.base import Setting
from dfpg.methods.names import method_names
from dfpg.methods.official import digest
from dfpg.methods.zhang2019 import Zhang2019
from dfpg.paper.weights import PUBLISHED

GOPRO = SHARED / "weights" / "dmphn_gopro"


@pytest.fixture
def config() -> Config:
    return resolve_profile("official")[0]


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """DMPHN's six files of another width than the published one; the working folder has data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "files").mkdir()
    options = Zhang2019.Options(width=12, objective="native", init="identity")
    built = Zhang2019("zhang2019", options, Setting(32, 0, None, (), "canonical"))
    dmphn_files(tmp_path / "files", built.networks["generator"])
    return Path("files")


def test_report_names_hash_options_use_and_psnr_of_one_face(
    published: Path, config: Config, tmp_path: Path
) -> None:
    text = check_weights("zhang2019", published, tmp_path / "strip.png")
    lines = text.splitlines()
    assert lines[0] == "files: published weights of zhang2019, 0.77 M parameters"
    assert lines[1] == f"SHA-256 {digest(published)}"
    assert lines[2] == "options that fit: methods.zhang2019: {width: 12, init: released}"
    assert lines[3].startswith("restored an embedded face, kernel of 21 px: ")
    assert "--weights RUN=files, RUN of zhang2019_generic" in lines[4]
    before, after = re.findall(r"([\d.]+) dB", lines[3])
    assert before == after  # the network is the identity
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    pair = example_pair(config)
    images = [x[0].permute(1, 2, 0).numpy() for x in (pair.blurred, pair.blurred, pair.sharp)]
    assert np.abs(strip.astype(int) - np.concatenate(images, axis=1)).max() <= 1


@pytest.mark.usefixtures("published")
def test_the_face_is_always_the_same_and_blurred(config: Config) -> None:
    first, second = example_pair(config), example_pair(config)
    assert torch.equal(first.blurred, second.blurred)
    assert first.sharp.shape == (1, 3, 128, 128)
    rough = [x.float().diff(dim=3).abs().mean() for x in (first.sharp, first.blurred)]
    assert rough[1] < 0.6 * rough[0]


@pytest.mark.usefixtures("published")
def test_a_test_set_of_the_right_size_is_preferred(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Set:
        def __init__(self, side: int) -> None:
            self.sharp = np.arange(2 * side * side * 3, dtype=np.uint8).reshape(2, side, side, 3)
            self.blurred = 255 - self.sharp
            self.index = {"sharp": type("Column", (), {"iloc": [1]})}

    weights.TEST_SET.mkdir(parents=True)
    (weights.TEST_SET / MANIFEST).write_text("{}")
    for side, origin in ((128, "the first image of artifacts/testsets/b"), (64, "an embedded")):
        testset = Set(side)
        monkeypatch.setattr(weights, "open_testset", lambda _, found=testset: found)
        pair: Pair = example_pair(config)
        assert pair.origin.startswith(origin)
        if side == 128:
            assert np.array_equal(pair.sharp[0].permute(1, 2, 0).numpy(), testset.sharp[1])
            assert np.array_equal(pair.blurred[0].permute(1, 2, 0).numpy(), testset.blurred[0])


def test_what_cannot_be_read_is_one_line(published: Path) -> None:
    for name, path, words in (
        ("zhang", published, "no such method; there are dfpgnet"),
        ("li2020", published, "no file of DFDNet's released weights is accepted"),
        ("nafnet", published, "is a folder; accepted: NAFNet"),
        ("nafnet", Path("absent.pth"), "absent.pth: no such file; accepted: NAFNet"),
    ):
        with pytest.raises(UserError, match=words) as error:
            check_weights(name, path)
        assert "\n" not in str(error.value)


def test_every_method_has_a_row_that_says_where_its_weights_are() -> None:
    runs = resolve_profile("paper")[0].runs
    assert set(PUBLISHED) == set(runs)
    readable = {runs[run].method for run, found in PUBLISHED.items() if found.trained}
    assert readable == set(method_names()) - {"li2020"}


@pytest.mark.skipif(not GOPRO.is_dir(), reason="needs the released GoPro weights of DMPHN")
@pytest.mark.usefixtures("published")
def test_released_weights_pass() -> None:
    text = check_weights("zhang2019", GOPRO)
    assert "5.42 M parameters" in text
    assert "{width: 32, init: released}" in text
    before, after = map(float, re.findall(r"([\d.]+) dB", text))
    # One face says nothing about gain: tests/methods/test_zhang2019.py shows that they deblur.
    assert abs(after - before) > 0.01
