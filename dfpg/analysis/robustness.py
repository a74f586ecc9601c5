"""Part-files of the robustness curve -> intervals over people, and what claims are tested on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dfpg.analysis.estimates import load_scores
from dfpg.analysis.metric_ranges import clip_differences, clip_values
from dfpg.analysis.paired_scores import PairedScores
from dfpg.analysis.people_bootstrap import Interval, mean_interval
from dfpg.analysis.result_records import RobustnessRecord
from dfpg.analysis.strata import Array, make_stratum
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import read_json
from dfpg.evaluation.robustness.moves import (
    AMOUNTS,
    BASELINE_PART,
    MOVES,
    PLAIN,
    STILL,
    UNITS,
    Move,
)
from dfpg.paper.claims import ROBUSTNESS
from dfpg.paper.tables import TEST_SETS, Cell, Column

CONVENTIONS = {"psnr": "psnr", "ssim": "ssim_matlab_rgb"}
SHARP = "sharp"  # the sharp faces against themselves
BLURRED = "blurred"
HASH_DIGITS = 12  # of a SHA-256


@dataclass(frozen=True)
class CurveScores:
    """Scores of one test set: ``values`` [people, methods, moves, metrics], one image each.

    ``mirrored`` is the share of the faces' pixels that are mirror images, per move [M].
    """

    values: Array
    methods: tuple[str, ...]
    people: tuple[str, ...]
    mirrored: Array


def read_curve(config: Config, folder: Path) -> dict[str, CurveScores]:
    """Scores by test set (key of ``TEST_SETS``) of the baselines and every run that has a part.

    Raises:
        UserError: there are no parts, or they are of different images.
    """
    if not (folder / f"{BASELINE_PART}.csv").exists():
        raise UserError(f"{folder}: no robustness scores; run `dfpg robustness` first")
    table = load_scores(config, folder)
    found = {}
    for name, test_set in TEST_SETS.items():
        rows = table[(table["test_set"] == test_set.images) & (table["method"] != SHARP)]
        if test_set.mode == "center" and len(rows):
            found[name] = _scores(folder, rows)
    return found


def curve_records(
    config: Config, curve: dict[str, CurveScores], folder: Path
) -> list[RobustnessRecord]:
    """Records of ``robustness.csv``: one per test set, run, amount and metric.

    The amount that moves nothing is in every transformation. ``gain`` is the paired difference to
    the blurred input of the same move, ``change`` that to the run's own value without a move; both
    are positive where the moved run is better. Intervals are over people.
    """
    return [
        record
        for test_set, scores in curve.items()
        for record in _records(config, test_set, scores, folder)
    ]


def pair_curve_scores(config: Config, curve: dict[str, CurveScores]) -> dict[Cell, PairedScores]:
    """What claims compare: per transformation the mean over its amounts, and the unmoved faces.

    The cells' subset is the transformation, or ``identity``.
    """
    found = {}
    for test_set, scores in curve.items():
        groups = {
            name: [number for number, move in enumerate(MOVES) if move.transformation == name]
            for name in (STILL.transformation, *AMOUNTS)
        }
        for name, moves in groups.items():
            for number, (metric, convention) in enumerate(CONVENTIONS.items()):
                values = scores.values[:, :, moves, number].mean(axis=2)
                stratum = make_stratum(
                    values,
                    scores.people,
                    config.statistics.resamples,
                    config.seed,
                    ROBUSTNESS,
                    test_set,
                )
                cell = Cell(ROBUSTNESS, Column(test_set, name), metric)
                found[cell] = PairedScores(scores.methods, (stratum,), convention, len(values))
    return found


def _scores(folder: Path, rows: pd.DataFrame) -> CurveScores:
    """Rows of one test set as an array; every method must have every move of the same people."""
    methods = tuple(dict.fromkeys(rows["method"]))
    people = tuple(sorted(set(rows["person"])))
    modes = [move.mode for move in MOVES]
    keys = pd.MultiIndex.from_product([people, methods, modes])
    names = [*CONVENTIONS.values(), "mirrored"]
    table = rows.set_index(["person", "method", "mode"])[names]
    if table.index.has_duplicates or not keys.isin(table.index).all():
        raise UserError(
            f"{folder}: the part-files are not of the same images and moves: delete the folder and "
            "run `dfpg robustness` again"
        )
    values = table.loc[keys].to_numpy(dtype=np.float64)
    cube = values.reshape(len(people), len(methods), len(modes), len(names))
    return CurveScores(cube[..., :-1], methods, people, cube[:, 0, :, -1].mean(axis=0))


def _records(
    config: Config, test_set: str, scores: CurveScores, folder: Path
) -> Iterator[RobustnessRecord]:
    shape = scores.values.shape[1:]
    still, blurred = MOVES.index(STILL), scores.methods.index(BLURRED)
    names = list(CONVENTIONS.values()) * (shape[0] * shape[1])
    values, gains, changes = (
        _intervals(clip, names, config, cube.reshape(len(cube), -1), scores.people, test_set)
        for clip, cube in (
            (clip_values, scores.values),
            (clip_differences, scores.values - scores.values[:, [blurred]]),
            (clip_differences, scores.values - scores.values[:, :, [still]]),
        )
    )
    cells = np.arange(np.prod(shape)).reshape(shape)
    for place, name in enumerate(scores.methods):
        weights, device = _card(folder, name)
        run = config.runs.get(name)
        for move, transformation, amount in _points():
            for number, (metric, convention) in enumerate(CONVENTIONS.items()):
                cell = cells[place, move, number]
                yield RobustnessRecord(
                    test_set=test_set,
                    run=name,
                    transformation=transformation,
                    amount=amount,
                    unit=UNITS[transformation],
                    metric=metric,
                    convention=convention,
                    value=values.mean[cell],
                    ci_low=values.low[cell],
                    ci_high=values.high[cell],
                    gain=gains.mean[cell],
                    gain_low=gains.low[cell],
                    gain_high=gains.high[cell],
                    change=changes.mean[cell],
                    change_low=changes.low[cell],
                    change_high=changes.high[cell],
                    mirrored_pct=100 * scores.mirrored[move],
                    n_images=len(scores.people),
                    n_people=len(set(scores.people)),
                    method=run.method if run else "",
                    trained_on=run.protocol if run else "",
                    weights=weights[:HASH_DIGITS],
                    device=device,
                    seed=config.seed,
                    profile=config.profile,
                )


def _points() -> Iterator[tuple[int, str, float]]:
    """(number of the move, transformation, amount) of every point of the curves, in order."""
    for name, amounts in AMOUNTS.items():
        for amount in sorted((PLAIN[name], *amounts)):
            move = STILL if amount == PLAIN[name] else Move(name, amount)
            yield MOVES.index(move), name, amount


def _intervals(
    clip: Callable[[Interval, Sequence[str]], Interval],
    names: Sequence[str],
    config: Config,
    values: Array,
    people: tuple[str, ...],
    test_set: str,
) -> Interval:
    """Rounded to the decimals of ``robustness.csv``, so that its figure shows the same numbers."""
    settings = config.statistics
    stratum = make_stratum(values, people, settings.resamples, config.seed, ROBUSTNESS, test_set)
    found = clip(mean_interval([stratum], settings.level), names)
    return Interval(*(bound.round(5) for bound in (found.mean, found.low, found.high)))


def _card(folder: Path, method: str) -> tuple[str, str]:
    """Weights and device of a part, from the card that ``dfpg robustness`` wrote beside it."""
    path = folder / f"{BASELINE_PART if method == BLURRED else method}.json"
    try:
        card = read_json(path)
        return str(card["weights"]), str(card["device"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: no readable card; run `dfpg robustness` again") from error
