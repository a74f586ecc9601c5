"""Curves as small multiples: one chart per run, its curve in colour before all others in grey.

Twenty curves in one chart cannot be told apart; here each is read against the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from markupsafe import Markup

from dfpg.analysis.estimates import IMAGE, is_of, kernel_names
from dfpg.analysis.histories import read_history
from dfpg.analysis.metric_ranges import clip_values
from dfpg.analysis.people_bootstrap import mean_interval
from dfpg.analysis.result_records import KernelSizeRecord, RocRecord
from dfpg.analysis.strata import make_stratum
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.paper.tables import BASELINES, CLASSICAL, TEST_SETS
from dfpg.report.style import PALE, style_of
from dfpg.report.svg import draw_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Curve(NamedTuple):
    """Points of one run; ``low`` and ``high`` are empty where there is no interval."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    steps: bool = False  # drawn as stairs


class AxisLabels(NamedTuple):
    """What the axes are called, with units, and what a chart is said to show."""

    x: str
    y: str
    shows: str


def small_multiples(
    config: Config,
    name: str,
    curves: Mapping[str, Curve],
    runs: Mapping[str, str],
    labels: AxisLabels,
) -> list[Markup]:
    """One chart per curve.

    Args:
        config: gives each run its style.
        name: prefix of the ids.
        curves: by row; all are drawn in each chart.
        runs: run of each row.
        labels: of the axes.
    """
    return [
        draw_chart(
            f"{name}-{row}",
            f"{labels.shows} of {row} against {labels.x}, all others in grey. {_describe(curve)}",
            lambda axes, row=row: _highlight(axes, config, curves, row, runs[row], labels),  # type: ignore[misc]
        )
        for row, curve in curves.items()
    ]


def _describe(curve: Curve) -> str:
    return f"From {curve.y[0]:.4g} at {curve.x[0]:g} to {curve.y[-1]:.4g} at {curve.x[-1]:g}."


def _highlight(
    axes: Axes, config: Config, curves: Mapping[str, Curve], row: str, run: str, labels: AxisLabels
) -> None:
    from matplotlib.ticker import MaxNLocator

    others: tuple[list[float], list[float]] = ([], [])  # one path: a page holds many charts
    for name, curve in curves.items():
        if name != row:
            others[0].extend([*curve.x, math.nan])
            others[1].extend([*curve.y, math.nan])
    own, style = curves[row], style_of(config, run)
    drawn = "steps-post" if own.steps else "default"
    axes.plot(*others, color=PALE, linewidth=0.8, drawstyle=drawn)
    if own.low:
        axes.fill_between(own.x, own.low, own.high, color=style.colour, alpha=0.2, linewidth=0)
    axes.plot(
        own.x,
        own.y,
        color=style.colour,
        linestyle=style.line,
        marker="" if own.steps else style.marker,
        drawstyle=drawn,
    )
    axes.set(xlabel=labels.x, ylabel=labels.y, ylim=_limits(curves))
    if not own.steps:
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title(row)


def _limits(curves: Mapping[str, Curve]) -> tuple[float, float]:
    """The same for all charts of a set: what the curves span; bands may run out of it."""
    values = [value for curve in curves.values() for value in curve.y if math.isfinite(value)]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.5
    return low - margin, high + margin


def kernel_size_records(config: Config, scores: pd.DataFrame) -> list[KernelSizeRecord]:
    """Mean PSNR in dB per nominal kernel size, of all subsets together, with intervals.

    Args:
        config: names resamples, level and seed.
        scores: see :func:`dfpg.analysis.estimates.load_scores`.
    """
    records = []
    for test_set, paper in TEST_SETS.items():
        part = scores[is_of(paper, scores)]
        for size, rows in part.groupby("size", sort=True):
            table = rows.pivot(index=IMAGE, columns="method", values="psnr")
            names = [name for name in table.columns if name != "sharp"]  # its PSNR is infinite
            people = table.index.get_level_values("person").tolist()
            stratum = make_stratum(
                table[names].to_numpy(),
                people,
                config.statistics.resamples,
                config.seed,
                "kernel size",
                test_set,
                str(size),
                kernels=kernel_names(table.index.to_frame()),
            )
            found = mean_interval([stratum], config.statistics.level)
            found = clip_values(found, ["psnr"] * len(names))
            for number, name in enumerate(names):
                records.append(
                    KernelSizeRecord(
                        test_set=test_set,
                        run=name,
                        size=int(str(size)),
                        psnr=found.mean[number],
                        ci_low=found.low[number],
                        ci_high=found.high[number],
                        n_images=len(people),
                        n_people=len(set(people)),
                    )
                )
    return records


def size_charts(config: Config, records: Sequence[KernelSizeRecord], test_set: str) -> list[Markup]:
    """Small multiples of ``kernel_sizes.csv`` for one test set; none without records of it."""
    curves = {}
    for run in (*BASELINES, *CLASSICAL, *config.runs):
        points = [
            record
            for record in records
            if (record.test_set, record.run) == (test_set, run) and math.isfinite(record.psnr)
        ]
        if points:
            x = [float(point.size or 0) for point in points]
            y = [point.psnr for point in points]
            low, high = [point.ci_low for point in points], [point.ci_high for point in points]
            bounded = all(map(math.isfinite, low))
            curves[run] = Curve(x, y, low if bounded else (), high if bounded else ())
    labels = AxisLabels("nominal kernel size (px at 128 px)", "PSNR (dB)", "PSNR in dB")
    return small_multiples(
        config, f"sizes-{test_set}", curves, {run: run for run in curves}, labels
    )


def read_validations(config: Config, history: Path, protocol: str) -> dict[str, pd.DataFrame]:
    """Rows of a protocol's histories that have a validation, by run, as far as recorded.

    Args:
        config: the profile.
        history: folder with a CSV per run.
        protocol: whose runs.

    Raises:
        UserError: a history is damaged or cut short.
    """
    found = {}
    for run, settings in config.runs.items():
        if settings.protocol != protocol or not (rows := read_history(config, history, run)):
            continue
        if "validation_gain" not in rows[0]:
            raise UserError(f"{history / run}.csv: no history of a training; run train again")
        validated = pd.DataFrame(rows).dropna(subset=["validation_gain"])
        if len(validated):
            found[run] = validated
    return found


def training_charts(config: Config, history: Path, protocol: str) -> dict[str, list[Markup]]:
    """A protocol's trainings against the images shown, as far as recorded, by what is drawn.

    Validation gain, in a band of one standard error where that is recorded; learning rate as a
    share of the run's; and what the discriminator can tell. A chart without curves is left out.

    Args:
        config: the profile.
        history: folder with a CSV per run.
        protocol: whose runs.

    Raises:
        UserError: a history is damaged.
    """
    gains: dict[str, Curve] = {}
    rates: dict[str, Curve] = {}
    auc: dict[str, Curve] = {}
    for run, rows in read_validations(config, history, protocol).items():
        images = (rows["step"] * config.training.batch_size).tolist()
        gain, spread = rows["validation_gain"], rows.get("validation_gain_se")
        gains[run] = Curve(
            images,
            gain.tolist(),
            low=() if spread is None else (gain - spread).tolist(),
            high=() if spread is None else (gain + spread).tolist(),
        )
        if images[-1] and "lr" in rows:  # none where published weights were taken
            rates[run] = Curve(images, (rows["lr"] / config.runs[run].lr).tolist())
        if "discriminator_auc" in rows:
            auc[run] = Curve(images, rows["discriminator_auc"].tolist())
    drawn = {
        "gain": (gains, "validation gain (dB)", "Validation gain over blurred in dB"),
        "lr": (rates, "share of the learning rate", "Learning rate as a share of the run's"),
        "auc": (auc, "AUC", "What the discriminator can tell: AUC of its logits"),
    }
    return {
        name: small_multiples(
            config,
            f"training-{protocol}" if name == "gain" else f"training-{name}-{protocol}",
            found,
            {run: run for run in found},
            AxisLabels("training images", label, words),
        )
        for name, (found, label, words) in drawn.items()
        if found
    }


def roc_charts(
    config: Config, records: Sequence[RocRecord], runs: Mapping[str, str]
) -> list[Markup]:
    """ROC of every row of ``roc.csv``, probes aligned by the points detected in them."""
    curves: dict[str, Curve] = {}
    for row in dict.fromkeys(record.row for record in records):
        points = [r for r in records if r.row == row and r.alignment == "detected"]
        if points:
            far, tar = [point.far for point in points], [point.tar for point in points]
            curves[row] = Curve(far, tar, steps=True)
    labels = AxisLabels("false acceptance rate", "true acceptance rate", "Acceptance rates")
    return small_multiples(config, "roc", curves, runs, labels)
