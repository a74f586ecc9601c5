"""Half precision, the card, and the bar below which nothing is shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dfpg.commands.deblur.shipped import pack
from dfpg.core.errors import UserError
from dfpg.methods.registry import build_method, build_restorer
from dfpg.methods.weights import save_weights

CPU = torch.device("cpu")
GOOD = {"gain": 1.6, "low": 1.4, "high": 1.8}
ABOVE = {"gain": 0.3, "low": 0.1, "high": 0.5}


@pytest.fixture
def weights(config, tmp_path) -> Path:
    method = build_method(config, "b1", None)
    save_weights(tmp_path / "b1.safetensors", method, steps=7)
    return tmp_path / "b1.safetensors"


def test_half_precision_is_half_the_size_and_nearly_the_same_network(weights, tmp_path):
    out = tmp_path / "half.safetensors"
    pack.convert_to_half(weights, out)
    assert out.stat().st_size < 0.6 * weights.stat().st_size
    assert {value.dtype for value in load_file(out).values()} == {torch.float16}
    half, full = build_restorer(out, CPU), build_restorer(weights, CPU)
    state = half.networks["generator"].state_dict()
    for name, value in full.networks["generator"].state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], value, rtol=2**-10, atol=2**-24)


def test_a_value_beyond_half_precision_is_refused(config, tmp_path):
    method = build_method(config, "b1", None)
    with torch.no_grad():
        method.networks["generator"].to_rgb.bias.fill_(1e6)
    save_weights(tmp_path / "b1.safetensors", method, steps=7)
    with pytest.raises(UserError, match="too large for half precision"):
        pack.convert_to_half(tmp_path / "b1.safetensors", tmp_path / "half.safetensors")
    assert not (tmp_path / "half.safetensors").exists()


def test_a_network_over_the_limit_is_refused(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "LIMIT_BYTES", 1000)
    with pytest.raises(UserError, match="over 1000 bytes in half precision"):
        pack.convert_to_half(weights, tmp_path / "half.safetensors")
    assert not (tmp_path / "half.safetensors").exists()


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
