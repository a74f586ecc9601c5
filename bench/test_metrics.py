"""Every metric of the per-image CSV, sharp features included."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfpg.blur.degrade import quantise
from dfpg.config import load_config
from dfpg.metrics import build_metrics
from dfpg.priors.assets import asset_path
from dfpg.priors.surrogate import fold_state
from dfpg.priors.vggface import PriorNetwork, load_trunk

NAMES = (
    "psnr",
    "ssim_matlab_rgb",
    "ssim_wang_rgb",
    "ssim_skimage",
    "lpips_alex",
    "lpips_vgg",
    "lpips_vgg_lab",
    "d_vgg_lab",
)


@pytest.fixture(scope="module")
def metrics(device):
    config = load_config(Path(__file__).parent.parent / "params.yaml")
    prior = PriorNetwork(fold_state(load_trunk(asset_path("vgg16_imagenet"))))
    return build_metrics(config, prior, device)


@pytest.mark.parametrize("name", NAMES)
def test_metric(measure, images, metrics, name):
    sharp, restored = quantise(images), quantise(images * 0.9)
    metric = metrics[name]
    with torch.inference_mode():
        scores = measure(lambda: metric.score(restored, metric.features(sharp)))
    assert scores.shape == (len(images),)
    assert torch.isfinite(scores).all()
