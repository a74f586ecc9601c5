"""What each run was trained on, and what its training took."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from dfpg.analysis.result_records import TrainingRecord
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import read_json
from dfpg.core.schedule import training_steps

VALIDATION = ("validation_gain", "validation_gain_se", "validation_unblurred_psnr")


def training_records(config: Config, artifacts: Path) -> list[TrainingRecord]:
    """What each run was given and took, and its last validation figures in dB where there are.

    Args:
        config: the profile.
        artifacts: folder with ``history`` and ``cost``, each of the runs that were trained.

    Raises:
        UserError: a history or a cost is damaged.
    """
    return [
        TrainingRecord(
            run=name,
            method=run.method,
            protocol=run.protocol,
            steps=training_steps(config, name),
            images=training_images(config, name),
            seconds=_seconds(artifacts / "cost" / f"{name}.json"),
            lr=run.lr,
            **_last_validation(artifacts / "history" / f"{name}.csv"),
            profile=config.profile,
        )
        for name, run in sorted(config.runs.items())
    ]


def training_images(config: Config, run: str | None) -> int | None:
    """Number of images that a run was trained on; None for what is no run."""
    if run not in config.runs:
        return None
    return training_steps(config, run) * config.training.batch_size


def _last_validation(history: Path) -> dict[str, float]:
    """Validation figures of the last row of a run's history; NaN without one."""
    try:
        lines = list(csv.DictReader(history.read_text(encoding="utf-8").splitlines()))
        last = lines[-1] if lines else {}
        return {name: float(last.get(name) or "nan") for name in VALIDATION}
    except FileNotFoundError:
        return dict.fromkeys(VALIDATION, math.nan)
    except (OSError, ValueError) as error:
        raise UserError(f"{history}: no history of a training; run train again") from error


def _seconds(cost: Path) -> float:
    """What a training took, from the cost that its loop wrote; NaN without one."""
    try:
        return float(read_json(cost)["seconds"])
    except FileNotFoundError:
        return math.nan
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{cost}: no record of a training's cost; run train again") from error
