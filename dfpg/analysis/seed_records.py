"""Scores of trainings that differ from those of the tables in their seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from dfpg.analysis.estimates import load_scores
from dfpg.analysis.observations import Observations, load_seed_observations
from dfpg.analysis.paired_scores import PairedScores, pair_scores
from dfpg.analysis.seed_folders import SeedFolder
from dfpg.evaluation.per_image import KEYS
from dfpg.paper.tables import Cell

PER_IMAGE = "per_image"
SAME = [name for name in KEYS if name != "method"]


def load_seeds(
    seeds: Sequence[SeedFolder], scores: pd.DataFrame, observations: Observations
) -> dict[int, Mapping[Cell, PairedScores]]:
    """Scores of every seed that was trained and tested by the parameters in use.

    Records with other test images are passed over: a spread that was measured there says nothing
    of these. Keys are the seeds.

    Args:
        seeds: see :func:`dfpg.analysis.seed_folders.fitting_seeds`; with ``per_image`` and, for
            Table 3, ``recognition``.
        scores: of the tables' own trainings (:func:`dfpg.analysis.estimates.load_scores`).
        observations: of the same (:func:`dfpg.analysis.observations.load_observations`).

    Raises:
        UserError: scores of a fitting folder are damaged.
    """
    found: dict[int, Mapping[Cell, PairedScores]] = {}
    for seed, alike, place in seeds:
        loaded = load_scores(alike, place / PER_IMAGE)
        if have_same_images([scores, loaded]):
            seen = load_seed_observations(observations, alike.runs, place)
            found[seed] = pair_scores(alike, loaded, seen)
    return found


def have_same_images(scores: Sequence[pd.DataFrame]) -> bool:
    """Whether scores are of the same blurred test images: those images' own scores say so."""
    blurred = [one[one["method"] == "blurred"].sort_values(["test_set", "image"]) for one in scores]
    tables = [rows[[*SAME, "psnr"]].reset_index(drop=True) for rows in blurred]
    return all(table.equals(tables[0]) for table in tables)
