"""The size, the card, and the bar below which nothing is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dfpg.commands.deblur.shipped import pack
from dfpg.core.errors import UserError
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights

CPU = torch.device("cpu")
GOOD = {"gain": 1.6, "low": 1.4, "high": 1.8}
ABOVE = {"gain": 0.3, "low": 0.1, "high": 0.5}


@pytest.fixture
def weights(config, tmp_path) -> Path:
    method = build_method(config, "b1", None)
    save_weights(tmp_path / "b1.safetensors", method, steps=7)
    return tmp_path / "b1.safetensors"


def test_a_network_over_the_limit_is_refused(config, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "LIMIT_BYTES", 1000)
    with pytest.raises(UserError, match="over 1000 bytes: train it narrower"):
        pack.pack(config, weights, {}, tmp_path, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("generated", "real", "weak"),
    [
        (GOOD, ABOVE, []),
        (GOOD | {"gain": 1.49}, ABOVE, ["generated_b +1.49 dB [1.40, 1.80]"]),
        (GOOD, ABOVE | {"low": -0.1}, ["celeba_b +0.30 dB [-0.10, 0.50]"]),
    ],
)
def test_the_bar(generated, real, weak):
    assert pack.shortfalls({"generated_b": generated, "celeba_b": real}) == weak


def test_what_is_below_the_bar_leaves_no_file(config, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "measure", lambda *_: {"generated_b": ABOVE, "celeba_a": ABOVE})
    with pytest.raises(UserError, match=r"not good enough to ship: generated_b \+0\.30 dB"):
        pack.pack(config, weights, {}, tmp_path, tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["b1.safetensors"]


def test_what_cannot_be_measured_leaves_no_file(config, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="artifacts/testsets/a"):
        pack.pack(config, weights, {}, tmp_path, tmp_path / "out" / "model.safetensors")
    assert not (tmp_path / "out").exists()


def test_the_card_says_what_was_measured(config, weights, tmp_path, monkeypatch):
    measured = {"generated_b": GOOD, "celeba_a": ABOVE}
    monkeypatch.setattr(pack, "measure", lambda *_: measured)
    text = pack.pack(config, weights, {"steps": 7}, tmp_path, tmp_path / "model.safetensors")
    card = json.loads((tmp_path / "model.json").read_text())
    assert json.loads(text) == card
    assert card["measured_psnr_db"] == measured
    assert card["training"]["steps"] == 7
    assert card["bytes"] == (tmp_path / "model.safetensors").stat().st_size
    assert "non-commercial" in card["licence"]
