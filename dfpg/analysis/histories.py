"""Histories of trainings, as ``artifacts/history/RUN.csv`` keeps them."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.schedule import training_steps


def read_history(config: Config, folder: Path, run: str) -> list[dict[str, float]]:
    """Rows of a run's history, one per validation; NaN where a figure was not measured.

    Args:
        config: the profile.
        folder: of the histories.
        run: key under ``runs``.

    Returns:
        None at all without a file: the run is not trained.

    Raises:
        UserError: the file is no such CSV, or does not reach the end of the training: an earlier
            validation must not pass for the last one.
    """
    path = folder / f"{run}.csv"
    try:
        lines = csv.DictReader(path.read_text(encoding="utf-8").splitlines(), restval="cut off")
        rows = [{name: float(text or "nan") for name, text in line.items()} for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: no history of a training; run train again") from error
    last = rows[-1].get("step", math.nan) if rows else math.nan
    end = 0 if config.runs[run].weights else training_steps(config, run)
    if last != end:
        where = "has no step" if math.isnan(last) else f"ends at step {last:g}"
        raise UserError(f"{path}: {where} of {end}; run train again")
    return rows
