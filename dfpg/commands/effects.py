"""Effects of the paper's claims on scores that are made for them alone: PSNR and SSIM, one seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from dfpg.analysis.claim_tests import ComparisonOutcome, Evidence, run_tests
from dfpg.analysis.paired_scores import pair_image_scores
from dfpg.analysis.study_records import OPEN, RIGHT, WRONG
from dfpg.core.config import Config, ProtocolName
from dfpg.core.paths import TESTSETS
from dfpg.evaluation.per_image import read_per_image
from dfpg.paper.claims import CLAIMS, Claim
from dfpg.paper.rows import evaluation_protocols
from dfpg.paper.tables import TABLES

if TYPE_CHECKING:
    from dfpg.data.testsets import TestSet
    from dfpg.metrics.common import Metric

METRICS = ("psnr", "ssim")


class Effect(NamedTuple):
    """One comparison of a claim, and which way it went."""

    claim: Claim
    outcome: ComparisonOutcome

    @property
    def direction(self) -> str:
        """``RIGHT`` or ``WRONG`` where the interval over people says so, else ``OPEN``."""
        if self.outcome.low > 0:
            return RIGHT
        return WRONG if self.outcome.high < 0 else OPEN


def score_weights(config: Config, run: str, weights: Path, out: Path) -> None:
    """Restore a run's test sets with a weights file and write PSNR and SSIM of every image.

    Raises:
        UserError: the weights or a test set are missing or damaged.
    """
    import torch

    from dfpg.core.device import select_device
    from dfpg.data.testsets import open_testset
    from dfpg.evaluation.restore import load_restore
    from dfpg.evaluation.score import score_testsets
    from dfpg.metrics.psnr import Psnr
    from dfpg.metrics.ssim import SSIM_MATLAB_RGB

    device = select_device()
    sets: dict[ProtocolName, TestSet] = {
        name: open_testset(TESTSETS / name) for name in evaluation_protocols(config, run)
    }
    metrics: dict[str, Metric] = {"psnr": Psnr(), SSIM_MATLAB_RGB.name: SSIM_MATLAB_RGB}
    with torch.inference_mode():
        restore = load_restore(config, weights, device)
        score_testsets(config, run, restore, sets, metrics, out, str(device))


def effects_of(config: Config, files: Sequence[Path]) -> Iterator[Effect]:
    """Effects of every claim in PSNR and SSIM, as far as both rows of a comparison were scored.

    Args:
        config: the profile.
        files: per-image CSVs of runs, one each.
    """
    scores = pd.concat([read_per_image(path) for path in files], ignore_index=True)
    for table in TABLES:
        for convention in () if table.recognition else table.conventions.values():
            if convention not in scores:
                scores[convention] = np.nan
    evidence = Evidence(pair_image_scores(config, scores))
    for claim in CLAIMS:
        chosen = [one for one in claim.comparisons if one.cell.metric in METRICS]
        for outcome in run_tests(config, evidence, chosen):
            if not outcome.missing:
                yield Effect(claim, outcome)
