"""Stage ``classical``: two filters that learned nothing, scored like every method."""

from __future__ import annotations

from typing import get_args

import torch

from dfpg.core.config import ProtocolName, load_config
from dfpg.core.device import select_device
from dfpg.core.paths import ARTIFACTS, KERNELS, PRIORS, TESTSETS
from dfpg.core.terminal import say
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.testsets import TestSet, open_testset
from dfpg.evaluation.classical import ClassicalRows
from dfpg.evaluation.recognition.observe import build_recogniser
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.registry import build_metrics
from dfpg.paper.tables import CLASSICAL
from dfpg.pretrained.vggface import load_prior

NAME = "classical"


def classical() -> None:
    """Stage ``classical``: restore and score the test sets by the floor and the ceiling.

    Raises:
        UserError: what it needs is missing.
    """
    config = load_config()
    device = select_device()
    metrics = build_metrics(config, load_prior(PRIORS), device)
    protocols: tuple[ProtocolName, ...] = get_args(ProtocolName)
    sets: dict[ProtocolName, TestSet] = {name: open_testset(TESTSETS / name) for name in protocols}
    kernels = {
        name: load_kernels(KERNELS / f"{config.protocols[name].kernels}.safetensors")
        for name in protocols
    }
    rows = ClassicalRows(config.classical, kernels, config.image_size)
    recogniser = build_recogniser(config)
    out = ARTIFACTS / "per_image" / f"{NAME}.csv"
    with torch.inference_mode():
        rate = score_testsets(config, NAME, rows, sets, metrics, out, str(device), recogniser)
    recogniser.write(ARTIFACTS / "recognition" / f"{NAME}.csv")
    say(f"evaluated {', '.join(CLASSICAL)}: {rate:.1f} images/s")
