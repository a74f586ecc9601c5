"""Scores of trainings that differ from those of the tables in their seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dfpg.analysis.estimates import load_scores
from dfpg.analysis.observations import Observations, load_seed_observations
from dfpg.analysis.paired_scores import PairedScores, pair_scores
from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.paths import RESULTS
from dfpg.evaluation.per_image import KEYS
from dfpg.paper.tables import Cell

SEEDS = RESULTS / "seeds"  # one folder per seed, as `dfpg publish` writes them
PER_IMAGE = "per_image"
SAME = [name for name in KEYS if name != "method"]
# Sections that do not touch a training or its scores, or are compared run by run.
ASIDE = frozenset({"seed", "runs", "methods", "statistics", "recognition", "classical", "faces"})


def load_seeds(
    config: Config, folder: Path | None, scores: pd.DataFrame, observations: Observations
) -> tuple[Mapping[Cell, PairedScores], ...]:
    """Scores of every seed in ``folder`` that was trained and tested by the parameters in use.

    Folders of another setting, or with other test images, are passed over: a spread that was
    measured there says nothing of these. Of a fitting folder the runs that are set alike count.

    Args:
        config: the profile in use; a folder of its own seed is passed over.
        folder: of folders with ``params.yaml``, ``per_image`` and, for Table 3, ``recognition``;
            None: there is none.
        scores: of the tables' own trainings (:func:`dfpg.analysis.estimates.load_scores`).
        observations: of the same (:func:`dfpg.analysis.observations.load_observations`).

    Raises:
        UserError: scores of a fitting folder are damaged.
    """
    found = []
    for place in sorted(folder.glob(f"*/{PARAMS}")) if folder else ():
        try:
            other = load_config(place)
        except UserError:  # a record of an earlier version
            continue
        runs = {
            name: run
            for name, run in other.runs.items()
            if config.runs.get(name) == run
            and config.methods[run.method] == other.methods[run.method]
        }
        if other.seed != config.seed and runs and _sections(other) == _sections(config):
            alike = config.model_copy(update={"runs": runs})
            loaded = load_scores(alike, place.parent / PER_IMAGE)
            if have_same_images([scores, loaded]):
                seen = load_seed_observations(observations, runs, place.parent)
                found.append(pair_scores(alike, loaded, seen))
    return tuple(found)


def have_same_images(scores: Sequence[pd.DataFrame]) -> bool:
    """Whether scores are of the same blurred test images: those images' own scores say so."""
    blurred = [one[one["method"] == "blurred"].sort_values(["test_set", "image"]) for one in scores]
    tables = [rows[[*SAME, "psnr"]].reset_index(drop=True) for rows in blurred]
    return all(table.equals(tables[0]) for table in tables)


def _sections(config: Config) -> dict[str, object]:
    return {name: getattr(config, name) for name in type(config).model_fields if name not in ASIDE}
