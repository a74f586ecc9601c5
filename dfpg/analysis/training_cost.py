"""What each run was trained on, and what its training took."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from dfpg.analysis.histories import read_history
from dfpg.analysis.result_records import TrainingRecord
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import read_json
from dfpg.core.profile import resolve_profile
from dfpg.core.schedule import training_steps
from dfpg.training.imbalance import imbalances

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
            **_last_validation(config, artifacts, name),
            profile=config.profile,
        )
        for name, run in sorted(config.runs.items())
    ]


def training_images(config: Config, run: str | None) -> int | None:
    """Number of images that a run was trained on; None for what is no run."""
    if run not in config.runs:
        return None
    return training_steps(config, run) * config.training.batch_size


class Length(NamedTuple):
    """How long a run was trained.

    Attributes:
        images: that it saw.
        whole: these are at least as many as its own paper's schedule (profile ``paper``) has.
    """

    images: int
    whole: bool


def training_lengths(config: Config) -> dict[str, Length]:
    """Lengths of the runs that are trained here; a run that no paper has counts as short."""
    papers = resolve_profile("paper")[0].runs
    lengths = {}
    for name, run in config.runs.items():
        if images := training_images(config, name):
            lengths[name] = Length(images, name in papers and run.images >= papers[name].images)
    return lengths


def training_remarks(config: Config, artifacts: Path) -> dict[str, str]:
    """What to know of a training before its row is read, by run: nothing where all went well.

    Whether it exploded and went on at half the rate, and which loss terms were out of balance at
    its end (:func:`dfpg.training.imbalance.imbalances`).

    Args:
        config: the profile.
        artifacts: folder with ``history``.

    Raises:
        UserError: a history is damaged.
    """
    remarks = {}
    for run in config.runs:
        last = _last_row(config, artifacts, run)
        exploded = last.get("exploded_at", math.nan)
        told = list(imbalances(last).values())
        if not math.isnan(exploded):
            told.insert(0, f"exploded at step {exploded:g}, then half the rate")
        if told:
            remarks[run] = f"in training: {'; '.join(told)}"
    return remarks


def _last_validation(config: Config, artifacts: Path, run: str) -> dict[str, float]:
    """Validation figures of the last row of a run's history; NaN without one."""
    last = _last_row(config, artifacts, run)
    return {name: last.get(name, math.nan) for name in VALIDATION}


def _last_row(config: Config, artifacts: Path, run: str) -> dict[str, float]:
    """Last row of a run's history; nothing without a history."""
    rows = read_history(config, artifacts / "history", run)
    return rows[-1] if rows else {}


def _seconds(cost: Path) -> float:
    """What a training took, from the cost that its loop wrote; NaN without one."""
    try:
        return float(read_json(cost)["seconds"])
    except FileNotFoundError:
        return math.nan
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{cost}: no record of a training's cost; run train again") from error
