"""``dfpg cluster cost``: GPU hours of a profile's trainings, and their hours on some GPUs.

Measured are, on the GPU of a throughput CSV, a training step of full-width DFPGnet and the making
of a training batch. How much longer or shorter another method's step is, is taken from the record
of all methods on one core (``dfpg/commands/doctor/recorded.csv``), which makes it an estimate::

    hours of a run = images x (step x ratio + batch) / 3600

with step and batch in s per image, and ratio the method's time on the core over DFPGnet's.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pandas as pd

from dfpg.commands.doctor.forecast import RECORDED, read_recorded_times
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.markdown import markdown_table

STEP = ("training_step", "dfpgnet_full")
BATCH = ("training_batch", "protocol_b")
OF_STEP = "dfpg_b"  # the run whose step that is
OPTIONAL = ("compiled", "noise on the device")  # variants with which no profile trains
GPUS = (1, 8, 64)


def cost_page(config: Config, throughput: Path) -> str:
    """Tables of :func:`gpu_hours` and :func:`makespan`, with where the numbers come from.

    Args:
        config: the profile.
        throughput: CSV of ``make bench`` on a GPU.

    Raises:
        UserError: the profile's networks are not of full width, or the CSV lacks what is needed.
    """
    if RECORDED.get(config.profile) != "full":
        raise UserError(f"cluster cost {config.profile}: only for research and paper")
    step, device = per_image(throughput, STEP, config.image_size)
    batch, _ = per_image(throughput, BATCH, config.image_size)
    hours = gpu_hours(config, step, batch)
    runs = [[run, f"{config.runs[run].images:,}", f"{hours[run]:.1f}"] for run in hours]
    spans = [[str(count), f"{makespan(list(hours.values()), count):.1f}"] for count in GPUS]
    return "\n".join(
        [
            f"{config.profile}: {len(hours)} trainings, {sum(hours.values()):,.0f} hours of one "
            f"{device}",
            f"measured there, per image of {config.image_size} px: step of {OF_STEP} "
            f"{1000 * step:.3f} ms, batch {1000 * batch:.3f} ms; other methods' steps are derived "
            "from their times on one core",
            "",
            markdown_table(["run", "images", "GPU hours"], runs),
            "",
            markdown_table(["GPUs, one run on each", "hours until the last run ends"], spans),
        ]
    )


def gpu_hours(config: Config, step: float, batch: float) -> dict[str, float]:
    """GPU hours of each training; a run that is not in the record counts like the others' mean.

    Args:
        config: the profile.
        step: s per image of the step of ``OF_STEP``.
        batch: s per image of making a batch.
    """
    record = read_recorded_times()
    found = {run: one.seconds / one.images for (part, run), one in record.items() if part == "full"}
    mean = fmean(found.values())
    return {
        run: settings.images * (step * found.get(run, mean) / found[OF_STEP] + batch) / 3600
        for run, settings in config.runs.items()
        if settings.weights is None
    }


def makespan(hours: Sequence[float], gpus: int) -> float:
    """Hours until all runs have ended where the longest begin first, one on each of ``gpus``."""
    free = [0.0] * gpus
    for each in sorted(hours, reverse=True):
        heapq.heapreplace(free, free[0] + each)
    return max(free)


def per_image(throughput: Path, what: tuple[str, str], size: int) -> tuple[float, str]:
    """Median s per image of the fastest variant that profiles use, and the name of the device.

    Raises:
        UserError: the CSV has no such measurement on a GPU.
    """
    try:
        table = pd.read_csv(throughput)
        rows = table[
            (table["benchmark"] == what[0])
            & (table["subject"] == what[1])
            & (pd.to_numeric(table["image_size"], errors="coerce") == size)
            & (table["device"] == "cuda")
            & ~table["variant"].isin(OPTIONAL)
        ]
        seconds = pd.to_numeric(rows["ms_per_image"]).dropna() / 1000
    except (KeyError, ValueError) as error:
        raise UserError(f"{throughput}: no table of `make bench`") from error
    if seconds.empty:
        raise UserError(
            f"{throughput}: no {' '.join(what)} at {size} px on a GPU: measure it there with "
            "`make bench`"
        )
    return float(seconds.min()), str(rows["device_name"].iloc[0])
