from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dfpg.commands import export_onnx as module
from dfpg.commands.export_onnx import export_onnx
from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.methods.base import Setting
from dfpg.methods.registry import build_restorer, method_class
from dfpg.methods.weights import save_weights

SMALL = {
    "dfpgnet": ("b4", {"width": 8, "blocks": 1, "prior_blocks": 1}),
    "nafnet": ("nafnet", {"width": 8, "encoder_blocks": [1, 1, 1, 1]}),
    "zhang2019": ("zhang2019_b", {}),
}
SIDE = 32


def trained(tmp_path: Path, name: str, own: dict) -> Path:
    """Weights of an untrained method, small, with every value moved off its start."""
    kind = method_class(name)
    options = kind.Options.model_validate(own)
    torch.manual_seed(1)
    method = kind(name, options, Setting(SIDE, 0, None, (), "canonical"))
    with torch.no_grad():
        for value in method.networks["generator"].parameters():
            value.add_(0.02 * torch.randn_like(value))
    path = tmp_path / f"{name}.safetensors"
    save_weights(path, method, 7)
    return path


@pytest.fixture
def weights(tmp_path, request) -> Path:
    config = load_config()
    run = config.runs[SMALL[request.param][0]]
    own = config.methods.get(run.method, {}) | run.options | SMALL[request.param][1]
    return trained(tmp_path, request.param, own)


@pytest.mark.parametrize("weights", list(SMALL), indirect=True)
def test_onnxruntime_restores_what_the_method_restores_at_any_size(weights, tmp_path):
    out = tmp_path / "x.onnx"
    said = export_onnx(weights, out)
    method = build_restorer(weights, torch.device("cpu"))
    facts = {p.key: p.value for p in onnx.load(out).metadata_props}
    assert facts["multiple"] == str(method.multiple)
    assert facts["image_size"] == str(SIDE)
    assert (facts["method"], facts["steps"]) == (method.name, "7")
    assert "any batch, height and width" in said
    assert "greatest difference between onnxruntime and PyTorch" in said
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    blurred = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(5)) * 2 - 1
    found = session.run(["restored"], {"blurred": blurred.numpy()})[0]
    wanted = method.restore(blurred).numpy()
    assert np.abs(wanted - blurred.numpy()).max() > 0.01  # it does something
    np.testing.assert_allclose(found, wanted, atol=module.TOLERANCE)


@pytest.mark.parametrize("weights", ["dfpgnet"], indirect=True)
def test_what_cannot_be_exported_is_one_line_and_writes_nothing(weights, tmp_path, monkeypatch):
    out = tmp_path / "x.onnx"

    def refuse(*_args, **_kwargs):
        raise RuntimeError("no such operator\nand a graph of many lines")

    monkeypatch.setattr(module.torch.onnx, "export", refuse)
    with pytest.raises(UserError, match=r"dfpgnet cannot be exported to ONNX .*no such operator"):
        export_onnx(weights, out)
    assert not out.exists()


@pytest.mark.parametrize("weights", ["dfpgnet"], indirect=True)
def test_a_size_that_tracing_fixed_is_not_called_free(weights, tmp_path, monkeypatch):
    """A network that reads the size of its input as a number restores wrongly elsewhere."""
    kind = method_class("dfpgnet")
    infer = kind.infer

    def fixed(self, blurred):
        return infer(self, blurred) + torch.linspace(0, 0.1, int(blurred.shape[-1]))

    monkeypatch.setattr(kind, "infer", fixed)
    said = export_onnx(weights, tmp_path / "x.onnx")
    assert f"one picture of {SIDE} x {SIDE} px" in said
    facts = {p.key: p.value for p in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert facts["multiple"] == str(SIDE)


@pytest.mark.parametrize("weights", ["dfpgnet"], indirect=True)
def test_a_wrong_result_is_refused(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match="cannot be exported"):
        export_onnx(weights, tmp_path / "x.onnx")


def test_names(tmp_path):
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        export_onnx(tmp_path / "w", tmp_path / "model")
    (tmp_path / "x.onnx").write_bytes(b"mine")
    with pytest.raises(UserError, match="--force replaces it"):
        export_onnx(tmp_path / "w", tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_bytes() == b"mine"
