"""How each claim's effect changes with the length of training: weights kept on the way, scored.

What is kept are averaged weights, so that a learning rate that had not fallen yet matters little.
Nothing is said beyond the longest training.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dfpg.analysis.records import csv_text
from dfpg.analysis.study_records import FALLS, GROWS, STEADY, BudgetRecord
from dfpg.commands.effects import Effect, effects_of
from dfpg.core.closure import closure, digest
from dfpg.core.config import Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import sha256, write_text
from dfpg.core.paths import ARTIFACTS, RESULTS, TESTSETS
from dfpg.core.terminal import say
from dfpg.data.testsets import MANIFEST
from dfpg.evaluation import weights_scores
from dfpg.paper.rows import evaluation_protocols

SNAPSHOTS, FOLDER, SHEET = ARTIFACTS / "snapshots", ARTIFACTS / "budget", "budget.csv"


def budget() -> str:
    """Score what is not scored yet and write ``results/budget.csv``; resumable.

    Raises:
        UserError: no run has kept weights, or an index of them is damaged.
    """
    config = load_config()
    found: dict[int, list[Path]] = {}
    for run in config.runs:
        states = _kept_states(run)
        shared = _shared_facts(config, run) if states else []
        for images, weights in states:
            out = FOLDER / f"{images}" / f"{run}.csv"
            stamp = out.with_suffix(".sha256")
            facts = json.dumps([*shared, sha256(weights)])
            made_from = hashlib.sha256(facts.encode()).hexdigest()
            if not (out.exists() and stamp.exists() and stamp.read_text() == made_from):
                say(f"{run}: {images} images")
                weights_scores.score_weights(config, run, weights, out)
                write_text(stamp, made_from)
            found.setdefault(images, []).append(out)
    if not found:
        raise UserError(f"{SNAPSHOTS}: no weights were kept: train with training.snapshots")
    followed = [
        (images, effect)
        for images, files in sorted(found.items())
        for effect in effects_of(config, files)
    ]
    records = budget_records(config, followed)
    write_text(RESULTS / SHEET, csv_text(BudgetRecord, records))
    return f"{RESULTS / SHEET}: {len(records)} effects at {len(found)} budgets"


def budget_records(config: Config, effects: Sequence[tuple[int, Effect]]) -> list[BudgetRecord]:
    """One record per comparison and budget, with the trend over the comparison's budgets."""
    by_comparison: dict[tuple[str, object], list[Effect]] = {}
    for _, effect in effects:
        key = effect.claim.key, effect.outcome.comparison
        by_comparison.setdefault(key, []).append(effect)
    return [
        BudgetRecord(
            claim=effect.claim.key,
            test_set=cell.column.test_set,
            subset=cell.column.subset,
            metric=cell.metric,
            better=outcome.comparison.better,
            worse=outcome.comparison.worse,
            images=images,
            effect=outcome.effect,
            ci_low=outcome.low,
            ci_high=outcome.high,
            direction=effect.direction,
            trend=trend(by_comparison[effect.claim.key, outcome.comparison]),
            n_people=outcome.people,
            seed=config.seed,
            profile=config.profile,
        )
        for images, effect in effects
        for outcome in [effect.outcome]
        for cell in [outcome.comparison.cell]
    ]


def trend(effects: Sequence[Effect]) -> str:
    """Whether the intervals of the longest and the shortest training lie apart."""
    first, last = effects[0].outcome, effects[-1].outcome
    if last.low > first.high:
        return GROWS
    return FALLS if last.high < first.low else STEADY


def _shared_facts(config: Config, run: str) -> list[str]:
    """What the scores of a run's kept states depend on beside their weights: images and code.

    A manifest that is missing counts as another one: scoring then says what to do.
    """
    manifests = [TESTSETS / name / MANIFEST for name in evaluation_protocols(config, run)]
    return [
        *(sha256(path) for path in manifests if path.exists()),
        digest(closure(weights_scores.__name__, f"dfpg.methods.{config.runs[run].method}")),
        config.evaluation.precision,
    ]


def _kept_states(run: str) -> list[tuple[int, Path]]:
    """Training images and file of every kept state of a run; none where it has no index."""
    index = SNAPSHOTS / run / "index.csv"
    if not index.exists():
        return []
    try:
        rows = pd.read_csv(index)
        pairs = zip(rows["images"].tolist(), rows["file"].tolist(), strict=True)
        return [(int(images), index.with_name(name)) for images, name in pairs]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{index}: damaged; run `dfpg train {run}` again") from error
