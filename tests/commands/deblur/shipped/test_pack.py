"""The size, the card, and the bar below which nothing is shipped."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from dfpg.commands.deblur.restore import LEAST_CHANGE
from dfpg.commands.deblur.shipped import pack
from dfpg.commands.deblur.shipped.by_size import ALL, SizeGain
from dfpg.commands.deblur.shipped.measure import Gain, Measured
from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights

GOOD = Gain(240, 120, 23.0, 24.6, gain=1.6, low=1.4, high=1.8)
ABOVE = Gain(240, 120, 22.0, 22.3, gain=0.3, low=0.1, high=0.5)
ROW = SizeGain(
    faces="celeba",
    kernels="spline",
    name="5",
    noise=0.0,
    images=60,
    people=60,
    blurred=30.0,
    restored=29.6,
    gain=-0.4,
    low=-0.5,
    high=-0.3,
    left=0.9,
    rule_gain=0.0,
    rule_low=-0.1,
    rule_high=0.1,
    harmed=0.05,
)
SHARP = replace(
    ROW, kernels="none", name="0", blurred=None, gain=None, low=None, high=None, rule_gain=None
)
OWN = replace(ROW, kernels="measured", name=ALL, gain=1.5, rule_gain=1.5)
MEASURED = Measured({"generated_b": GOOD, "celeba_b": ABOVE}, [SHARP, ROW], [OWN])


@pytest.fixture
def weights(config, tmp_path) -> Path:
    method = build_method(config, "b1", None)
    save_weights(tmp_path / "b1.safetensors", method, steps=7)
    return tmp_path / "b1.safetensors"


@pytest.fixture
def kernels(tmp_path) -> Path:
    (tmp_path / "given").mkdir()
    np.savez(tmp_path / "given" / "levin.npz", first=np.ones((3, 3)))
    return tmp_path / "given" / "levin.npz"


@pytest.fixture
def pack_model(config, weights, kernels, tmp_path):
    """Packs the weights into a folder of its own; returns that and the card's text."""

    def run(training=None) -> tuple[Path, str]:
        out = tmp_path / "out" / "model.safetensors"
        text = pack.pack(config, weights, training or {}, tmp_path, kernels, out)
        return out, text

    return run


def test_a_network_over_the_limit_is_refused(pack_model, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "LIMIT_BYTES", 1000)
    with pytest.raises(UserError, match="over 1000 bytes: train it narrower"):
        pack_model()
    assert not (tmp_path / "out").exists()


def test_what_is_good_enough_has_no_shortfall():
    assert pack.shortfalls(MEASURED) == []


@pytest.mark.parametrize(
    ("name", "found", "weak"),
    [
        ("generated_b", replace(GOOD, gain=1.49), "generated_b +1.49 dB [1.40, 1.80]"),
        ("celeba_b", replace(ABOVE, low=-0.1), "celeba_b +0.30 dB [-0.10, 0.50]"),
    ],
)
def test_the_bar_of_the_test_sets(name, found, weak):
    measured = replace(MEASURED, sets=MEASURED.sets | {name: found})
    assert pack.shortfalls(measured) == [weak]


@pytest.mark.parametrize(
    ("row", "weak"),
    [
        (replace(ROW, rule_gain=-0.01), "celeba spline 5: -0.01 dB"),
        (
            replace(ROW, kernels="none", noise=2.55, rule_gain=-1),
            "celeba none 5, noise 2.55: -1.00",
        ),
        (replace(SHARP, left=0.89), "celeba none 0: 89% left as they were, not 90%"),
    ],
)
def test_a_loss_at_any_kernel_size_is_below_the_bar(row, weak):
    (found,) = pack.shortfalls(replace(MEASURED, sizes=[ROW, row, SHARP]))
    assert found.startswith(weak)


@pytest.mark.parametrize(
    ("rows", "weak"),
    [
        ([replace(OWN, rule_gain=1.49)], "celeba measured all: +1.49 dB, not 1.5"),
        ([OWN, replace(OWN, faces="generated", rule_gain=0.2)], "generated measured all: +0.20"),
        ([replace(OWN, rule_gain=None)], "celeba measured all: no gain, since a kernel does not"),
        ([], "no measured kernels"),
    ],
)
def test_measured_kernels_must_gain_on_every_source_of_faces(rows, weak):
    one = replace(OWN, name="first", rule_gain=-2)  # one of the kernels may lose
    (found,) = pack.shortfalls(replace(MEASURED, kernels=[*rows, one]))
    assert found.startswith(weak)


def test_what_is_below_the_bar_leaves_no_file(pack_model, tmp_path, monkeypatch):
    weak = replace(MEASURED, sets={"generated_b": ABOVE})
    monkeypatch.setattr(pack, "measure", lambda *_: weak)
    with pytest.raises(UserError, match=r"not good enough to ship: generated_b \+0\.30 dB"):
        pack_model()
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_measured_leaves_no_file(pack_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run `dvc repro"):
        pack_model()
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_was_measured(pack_model, kernels, monkeypatch):
    monkeypatch.setattr(pack, "measure", lambda *_: MEASURED)
    out, text = pack_model({"steps": 7})
    card = json.loads(out.with_suffix(".json").read_text())
    assert json.loads(text) == card
    assert card["measured_psnr_db"]["celeba_b"]["gain"] == 0.3
    sizes = card["by_kernel_size"]
    assert sizes["rows"] == [asdict(SHARP), asdict(ROW)]
    assert sizes["harmed_without_check"] == ["celeba spline 5: -0.40 dB, 90% left as they were"]
    assert sizes["change_left_below_grey_levels"] == LEAST_CHANGE
    assert card["measured_kernels"]["rows"] == [asdict(OWN)]
    assert card["measured_kernels"]["file"] == "levin.npz"
    assert card["measured_kernels"]["sha256"] == sha256(kernels)
    assert card["training"]["steps"] == 7
    assert card["bytes"] == out.stat().st_size
    assert "non-commercial" in card["licence"]
