"""What detector and embedder saw in the images of Table 3's test set, by method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dfpg.analysis.read_once import read_once
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.evaluation.per_image import read_recognition
from dfpg.evaluation.recognition.pairs import Pair, deal_folds, groups_of, read_pairs
from dfpg.evaluation.recognition.references import PAIRS
from dfpg.metrics.verification import FOLDS
from dfpg.paper.tables import BASELINES, UNTRAINED_FILES

RECOGNITION = "recognition"  # folder of the CSVs, one per run


@dataclass(frozen=True)
class Observations:
    """All methods' rows on Table 3's test set, and how its people are paired.

    Attributes:
        rows: by method, images in order, the same images for each.
        groups, folds: of each person with references (:mod:`dfpg.evaluation.recognition.pairs`).
    """

    rows: dict[str, pd.DataFrame]
    groups: dict[str, int]
    folds: dict[str, int]


def load_observations(config: Config, artifacts: Path) -> Observations:
    """Read ``recognition/*.csv`` of the untrained rows and of every run scored on protocol A.

    Raises:
        UserError: the baselines or the pairs are missing, or two methods saw different images.
    """
    rows = _read_rows(artifacts / RECOGNITION, (*UNTRAINED_FILES, *config.runs))
    _check_images(rows, rows)
    path = artifacts / "references" / PAIRS
    pairs: Sequence[Pair] = read_pairs(path)
    groups = groups_of(pairs)
    compared = {
        str(person)
        for part in rows.values()
        for person in part.loc[part["sharp_positive"].notna(), "person"]
    }
    missing = compared - {pair.person for pair in pairs}
    if missing:
        raise UserError(
            f"{path}: no pair of {min(missing)}, who was compared with others; "
            "run `dfpg evaluate baselines`"
        )
    return Observations(rows, groups, deal_folds(groups, FOLDS, config.seed))


def load_seed_observations(own: Observations, runs: Iterable[str], folder: Path) -> Observations:
    """Rows of runs that were trained with another seed, beside the tables' untrained rows.

    Args:
        own: of the tables' trainings.
        runs: those of the other seed that are set alike.
        folder: with ``recognition/*.csv``; a run without one is left out.

    Raises:
        UserError: a CSV is damaged, or of other images than ``own``.
    """
    rows = _read_rows(folder / RECOGNITION, runs)
    untrained = {name for names in UNTRAINED_FILES.values() for name in names}
    kept = {name: part for name, part in own.rows.items() if name in untrained}
    _check_images(rows, own.rows)
    return replace(own, rows=kept | rows)


def _read_rows(folder: Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Rows by method, images in order, of the files of ``names`` that exist."""
    rows: dict[str, pd.DataFrame] = {}
    for name in names:
        path = folder / f"{name}.csv"
        if name != "baselines" and not path.exists():
            continue
        frame = read_once(read_recognition, path)
        if not set(frame["method"]) <= set(UNTRAINED_FILES.get(name, (name,))):
            raise UserError(f"{path}: holds another method than {name}; run evaluate again")
        for method, part in frame.groupby("method"):
            rows[str(method)] = part.sort_values("image").reset_index(drop=True)
    return rows


def _check_images(rows: dict[str, pd.DataFrame], own: dict[str, pd.DataFrame]) -> None:
    keys = ["image", "person", "face"]
    for method, part in rows.items():
        if not part[keys].equals(own[BASELINES[0]][keys]):
            raise UserError(
                f"recognition CSV of {method!r}: its images are not those of the other runs; "
                "run evaluate again"
            )
