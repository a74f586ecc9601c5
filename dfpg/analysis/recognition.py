"""Table 3: shares of images with a face, and of pairs that are verified rightly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dfpg.analysis.estimates import ColumnEstimates, Estimate
from dfpg.analysis.metric_ranges import clip_differences
from dfpg.analysis.people_bootstrap import make_stratum, mean_interval, paired_p, rate_interval
from dfpg.analysis.verification import (
    MODES,
    Observations,
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
    paired = pair_recognition_scores(observations)
    values: dict[tuple[str, str], Estimate] = {}
    for method in rows:
        for detector in DETECTORS:
            found, _ = paired[method, detector]
            stratum = make_stratum(found[:, None] / 100, people, 1, config.seed)
            interval = rate_interval(stratum, config.statistics.level)
            values[method, detector] = scale(first_column(interval))
        for mode in MODES:
            pairs = verification_pairs(observations, method, mode, "detected")
            values[method, f"{mode}_detected"] = scale(accuracy(config, pairs, mode))
    gains, p = _gains(config, paired)
    return ColumnEstimates(values, gains, p, len(first), len(set(people)))


def pair_recognition_scores(
    observations: Observations,
) -> dict[tuple[str, str], tuple[Floats, list[str]]]:
    """Scores 0 or 100 by (method, convention), and the person or group of people of each.

    Only what is counted over all images is paired between methods: detection and ``strict``.
    """
    paired: dict[tuple[str, str], tuple[Floats, list[str]]] = {}
    for method, rows in observations.rows.items():
        people = rows["person"].tolist()
        for detector in DETECTORS:
            found = np.asarray(rows[f"{detector}_score"].notna(), np.float64)
            paired[method, detector] = (100 * found, people)
        pairs = verification_pairs(observations, method, "strict", "detected")
        right = correct_decisions(pairs)
        if right is not None:
            groups = [str(group) for group in pairs.group]
            paired[method, "strict_detected"] = (100 * right.astype(np.float64), groups)
    return paired


def _gains(
    config: Config, paired: Mapping[tuple[str, str], tuple[Floats, list[str]]]
) -> tuple[dict[tuple[str, str], Estimate], dict[tuple[str, str], float]]:
    gains, p = {}, {}
    for (method, convention), (scores, people) in paired.items():
        difference = scores - paired["blurred", convention][0]
        stratum = make_stratum(
            difference[:, None], people, config.statistics.resamples, config.seed, "recognition"
        )
        interval = mean_interval([stratum], config.statistics.level)
        interval = clip_differences(interval, [convention])
        gains[method, convention] = first_column(interval)
        p[method, convention] = float(paired_p([stratum])[0])
    return gains, p
