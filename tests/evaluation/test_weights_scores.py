from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.block_faces import block_faces
from helpers.kernels import copy_kernels
from skimage.metrics import peak_signal_noise_ratio

from dfpg.core.errors import UserError
from dfpg.core.paths import TESTSETS
from dfpg.data.blur.degrade import quantise, to_signed
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.testsets import build_testset, open_testset
from dfpg.evaluation.per_image import read_per_image
from dfpg.evaluation.weights_scores import score_weights
from dfpg.methods.registry import build_method
from dfpg.methods.weights import save_weights


@pytest.fixture
def project(config, tmp_path, monkeypatch):
    """A folder with the smoke profile's test set of protocol B, and weights that restore a bit."""
    monkeypatch.chdir(tmp_path)
    copy_kernels(config, tmp_path / "kernels")
    bank = load_kernels(tmp_path / "kernels" / "spline.safetensors")
    build_testset(config, "b", bank, block_faces(), TESTSETS / "b")
    torch.manual_seed(0)
    method = build_method(config, "nafnet", prior=None)
    for parameter in method.networks["generator"].parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    save_weights(tmp_path / "kept.safetensors", method, steps=3)
    return method


def test_every_image_has_the_psnr_of_the_picture_that_the_weights_restore(
    config, project, tmp_path
):
    score_weights(config, "nafnet", tmp_path / "kept.safetensors", tmp_path / "scores.csv")
    found = read_per_image(tmp_path / "scores.csv").sort_values("image")
    shown = open_testset(TESTSETS / "b")
    assert found["image"].tolist() == shown.index["image"].tolist()
    assert {"psnr", "ssim_matlab_rgb"} <= set(found.columns)
    for row in shown.index.iloc[:: len(shown.index) // 5].itertuples():
        blurred = torch.from_numpy(np.array(shown.blurred[row.image])).permute(2, 0, 1)[None]
        restored = quantise(project.restore(to_signed(blurred)))[0].permute(1, 2, 0).numpy()
        expected = peak_signal_noise_ratio(shown.sharp[row.sharp], restored, data_range=255)
        assert found["psnr"].iloc[row.Index] == pytest.approx(expected, abs=0.02)


@pytest.mark.usefixtures("project")
def test_damaged_weights_are_refused_and_earlier_scores_stay(config, tmp_path):
    kept, scores = tmp_path / "kept.safetensors", tmp_path / "scores.csv"
    scores.write_text("earlier")
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"kept\.safetensors"):
        score_weights(config, "nafnet", kept, scores)
    assert scores.read_text() == "earlier"
