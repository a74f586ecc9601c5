"""PSNR and SSIM of a run's test images, restored with any weights file of it."""

from __future__ import annotations

from pathlib import Path

import torch

from dfpg.core.config import Config, ProtocolName
from dfpg.core.device import select_device
from dfpg.core.paths import TESTSETS
from dfpg.data.testsets import TestSet, open_testset
from dfpg.evaluation.restore import load_restore
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.common import Metric
from dfpg.metrics.psnr import Psnr
from dfpg.metrics.ssim import SSIM_MATLAB_RGB
from dfpg.paper.rows import evaluation_protocols


def score_weights(config: Config, run: str, weights: Path, out: Path) -> None:
    """Restore a run's test sets with a weights file and write PSNR and SSIM of every image.

    Raises:
        UserError: the weights or a test set are missing or damaged.
    """
    device = select_device()
    sets: dict[ProtocolName, TestSet] = {
        name: open_testset(TESTSETS / name) for name in evaluation_protocols(config, run)
    }
    metrics: dict[str, Metric] = {"psnr": Psnr(), SSIM_MATLAB_RGB.name: SSIM_MATLAB_RGB}
    with torch.inference_mode():
        restore = load_restore(config, weights, device)
        score_testsets(config, run, restore, sets, metrics, out, str(device))
