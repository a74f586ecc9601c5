"""Table 3: shares of images with a face, and of pairs that are verified rightly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dfpg.analysis.estimates import ColumnEstimates, Estimate, kernel_names
from dfpg.analysis.metric_ranges import clip_differences
from dfpg.analysis.observations import Observations
from dfpg.analysis.people_bootstrap import mean_interval, paired_p, rate_interval
from dfpg.analysis.strata import make_stratum
from dfpg.analysis.verification import (
    MODES,
    accuracy,
    correct_decisions,
    first_column,
    scale,
    verification_pairs,
)
from dfpg.core.config import Config
from dfpg.metrics.verification import Floats
from dfpg.paper.tables import BASELINES

DETECTORS = ("dlib_hog", "scrfd")


def estimate_table3(config: Config, observations: Observations) -> ColumnEstimates | None:
    """Table 3's estimates in percent; None where the profile has no such test images."""
    rows = observations.rows
    if not rows:
        return None
    first = rows[BASELINES[0]]
    people = first["person"].tolist()
    kernels = kernel_names(first)
    paired = pair_recognition_scores(observations)
    values: dict[tuple[str, str], Estimate] = {}
    for method in rows:
        for detector in DETECTORS:
            found = paired[method, detector].values
            stratum = make_stratum(found[:, None] / 100, people, 1, config.seed, kernels=kernels)
            interval = rate_interval(stratum, config.statistics.level)
            values[method, detector] = scale(first_column(interval))
        for mode in MODES:
            pairs = verification_pairs(observations, method, mode, "detected")
            values[method, f"{mode}_detected"] = scale(accuracy(config, pairs, mode))
    gains, p = _gains(config, paired)
    return ColumnEstimates(values, gains, p, len(first), len(set(people)))


class RecognitionScores(NamedTuple):
    """Scores 0 or 100 [N] of images, or of pairs of pictures.

    ``people`` names the person of each, or the group of people that share a negative pair;
    ``kernels`` its kernel.
    """

    values: Floats
    people: list[str]
    kernels: list[str]


def pair_recognition_scores(
    observations: Observations,
) -> dict[tuple[str, str], RecognitionScores]:
    """Scores by (method, convention).

    Only what is counted over all images is paired between methods: detection and ``strict``.
    """
    paired: dict[tuple[str, str], RecognitionScores] = {}
    for method, rows in observations.rows.items():
        people, kernels = rows["person"].tolist(), kernel_names(rows)
        for detector in DETECTORS:
            found = np.asarray(rows[f"{detector}_score"].notna(), np.float64)
            paired[method, detector] = RecognitionScores(100 * found, people, kernels)
        pairs = verification_pairs(observations, method, "strict", "detected")
        right = correct_decisions(pairs)
        if right is not None:
            groups = [str(group) for group in pairs.group]
            values = 100 * right.astype(np.float64)
            paired[method, "strict_detected"] = RecognitionScores(values, groups, pairs.kernel)
    return paired


def _gains(
    config: Config, paired: Mapping[tuple[str, str], RecognitionScores]
) -> tuple[dict[tuple[str, str], Estimate], dict[tuple[str, str], float]]:
    gains, p = {}, {}
    for (method, convention), (scores, people, kernels) in paired.items():
        difference = scores - paired["blurred", convention].values
        stratum = make_stratum(
            difference[:, None],
            people,
            config.statistics.resamples,
            config.seed,
            "recognition",
            kernels=kernels,
        )
        interval = mean_interval([stratum], config.statistics.level)
        interval = clip_differences(interval, [convention])
        gains[method, convention] = first_column(interval)
        p[method, convention] = float(paired_p([stratum], config.statistics.level)[0])
    return gains, p
