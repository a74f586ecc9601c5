"""Effects of the paper's claims on scores that are made for them alone: PSNR and SSIM, one seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dfpg.analysis.claim_tests import ComparisonOutcome, Evidence, run_tests
from dfpg.analysis.paired_scores import pair_image_scores
from dfpg.analysis.study_records import OPEN, RIGHT, WRONG
from dfpg.core.config import Config
from dfpg.evaluation.per_image import read_per_image
from dfpg.paper.claims import CLAIMS, Claim
from dfpg.paper.tables import TABLES

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
