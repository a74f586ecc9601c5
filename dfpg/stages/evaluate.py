"""Stage ``evaluate``: restore and score every test image with one trained run."""

from __future__ import annotations

from pathlib import Path

import torch

from dfpg.core.config import ProtocolName, check_runs, load_config
from dfpg.core.device import select_device
from dfpg.core.paths import ARTIFACTS, PRIORS, TESTSETS
from dfpg.core.terminal import say
from dfpg.data.testsets import TestSet, open_testset
from dfpg.evaluation.recognition.observe import build_recogniser
from dfpg.evaluation.restore import load_restore
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.registry import build_metrics
from dfpg.paper.rows import evaluation_protocols
from dfpg.paper.tables import UNTRAINED_FILES
from dfpg.pretrained.vggface import load_prior


def evaluate(run: str, folder: Path = ARTIFACTS) -> None:
    """Stage ``evaluate``: restore and score every test image, detect and verify its face.

    Args:
        run: key in ``runs``.
        folder: has the weights, and gets the scores.

    Raises:
        UserError: no such run, or what it needs is missing.
    """
    config = load_config()
    check_runs(config, [run], further=list(UNTRAINED_FILES))
    device = select_device()
    restore = load_restore(config, folder / "weights" / f"{run}.safetensors", device)
    metrics = build_metrics(config, load_prior(PRIORS), device)
    protocols = evaluation_protocols(config, run)
    sets: dict[ProtocolName, TestSet] = {name: open_testset(TESTSETS / name) for name in protocols}
    recogniser = build_recogniser(config)
    out = folder / "per_image" / f"{run}.csv"
    with torch.inference_mode():
        rate = score_testsets(config, run, restore, sets, metrics, out, str(device), recogniser)
    recogniser.write(folder / "recognition" / f"{run}.csv")
    say(f"evaluated {run}: {rate:.1f} images/s")
