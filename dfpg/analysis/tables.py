"""The paper's tables with intervals, beside the published figures; no torch, seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dfpg.analysis.claim_tests import Evidence
from dfpg.analysis.comparability import (
    NOT_COMPARABLE,
    comparison_verdict,
    deviation_records,
    differences_from_paper,
    obstacles,
    printed_variance,
    prior_network,
    slot_labels,
)
from dfpg.analysis.estimates import (
    NO_ESTIMATE,
    ColumnEstimates,
    Estimate,
    estimate_column,
    load_scores,
)
from dfpg.analysis.floor import Floor, mean_estimates, measure_floor
from dfpg.analysis.gains import gain_records
from dfpg.analysis.main_table import MainRecord, main_records
from dfpg.analysis.mechanisms import mechanism_records
from dfpg.analysis.observations import Observations, load_observations
from dfpg.analysis.paired_scores import PairedScores, pair_scores
from dfpg.analysis.quoted_metrics import FOLDER as METRICS
from dfpg.analysis.quoted_metrics import quoted_metrics
from dfpg.analysis.ranks import order_records, rank_records
from dfpg.analysis.recognition import estimate_table3
from dfpg.analysis.records import csv_text, json_text
from dfpg.analysis.result_records import (
    ClaimRecord,
    ClaimTestRecord,
    DeviationRecord,
    GainRecord,
    HistogramRecord,
    OrderRecord,
    RankRecord,
    RocRecord,
    TableRecord,
    TrainingRecord,
    VerificationRecord,
)
from dfpg.analysis.robustness import pair_curve_scores, read_curve
from dfpg.analysis.seed_folders import SEEDS, fitting_seeds
from dfpg.analysis.seed_records import load_seeds
from dfpg.analysis.study_records import MechanismRecord, read_readings
from dfpg.analysis.submissions import (
    FOLDER,
    add_submission_observations,
    add_submission_rows,
    add_submission_scores,
    load_submissions,
)
from dfpg.analysis.training_cost import (
    training_images,
    training_lengths,
    training_records,
    training_remarks,
)
from dfpg.analysis.verdicts import claim_records
from dfpg.analysis.verification import histogram_records, roc_records, verification_records
from dfpg.core.config import Config
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import read_json, write_text
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.evaluation.recognition.references import EMBEDDER_CARD
from dfpg.evaluation.robustness.moves import BASELINE_PART
from dfpg.paper.published import PublishedKey, published_values
from dfpg.paper.rows import empty_reason, row_fidelity, row_note, table_rows
from dfpg.paper.tables import BASELINES, CLASSICAL, TABLES, Cell, Column, Row, Table


def build_project_tables(config: Config, out: Path) -> None:
    """:func:`build_tables` of all that the project in the current folder holds."""
    build_tables(config, ARTIFACTS, out, FOLDER, SEEDS, RESULTS / "readings.csv")


@within_memory("statistics.resamples")
def build_tables(
    config: Config,
    artifacts: Path,
    out: Path,
    submissions: Path | None = None,
    seeds: Path | None = None,
    readings: Path | None = None,
) -> None:
    """Write the results of all runs whose per-image CSV exists.

    Writes ``table1.csv`` ... ``table4.csv`` (one record per row, column group and metric),
    ``main.csv`` (:mod:`dfpg.analysis.main_table`),
    ``metrics`` (:mod:`dfpg.analysis.quoted_metrics`), ``deviations.csv`` (one record per figure of
    the paper), ``gains.csv`` (each row against ``blurred``), ``claims.csv`` and ``claim_tests.csv``
    (:mod:`dfpg.analysis.verdicts`), ``mechanisms.csv``, ``ranks.csv`` and ``order.csv``
    (:mod:`dfpg.analysis.ranks`), ``training.csv``, ``prior.json``; of verification
    ``verification.csv``, ``roc.csv``, ``embedder.json`` and ``verification_histogram.csv``.

    Args:
        config: the profile.
        artifacts: folder with ``per_image``, ``recognition``, ``references``, ``priors``,
            ``history`` and ``cost``; and ``robustness`` where that was measured.
        out: the results' folder.
        submissions: folder of other codes' scores (:mod:`dfpg.analysis.submissions`), if there
            is one.
        readings: ``readings.csv``, if there is one.
        seeds: folder of other seeds' records (:mod:`dfpg.analysis.seed_folders`), if there is one.

    Raises:
        UserError: the baselines or a card are missing, or two runs were scored on different
            images.
    """
    scores = load_scores(config, artifacts / "per_image")
    observations = load_observations(config, artifacts)
    external = load_submissions(config, submissions, artifacts, scores) if submissions else []
    scores = add_submission_scores(scores, external)
    observations = add_submission_observations(observations, external)
    layout = [add_submission_rows(table, external) for table in TABLES]
    cards = {
        "prior.json": read_network_card(artifacts / "priors" / "card.json", "priors"),
        "embedder.json": read_network_card(artifacts / "references" / EMBEDDER_CARD, "baselines"),
    }
    remarks = training_remarks(config, artifacts)
    estimates = {
        table.name: estimate_columns(config, table, scores, observations) for table in layout
    }
    means = mean_estimates(config, scores)
    floor = measure_floor(estimates, means)
    tables = {
        table.name: table_records(config, table, estimates[table.name], floor, remarks)
        for table in layout
    }
    gains = [
        record for table in layout for record in gain_records(config, table, estimates[table.name])
    ]
    people = table_rows(next(table for table in layout if table.recognition), config)
    paired = pair_scores(config, scores, observations)
    others = fitting_seeds(config, seeds)
    mechanisms = mechanism_records(config, artifacts / "history", others)
    curve = _robustness_scores(config, artifacts / "robustness")
    evidence = Evidence.of(
        paired | curve,
        load_seeds(others, scores, observations),
        floor,
        mechanisms,
        training_lengths(config),
    )
    claims, tests = claim_records(config, evidence, read_readings(config, readings))
    files = {f"{name}.csv": csv_text(TableRecord, records) for name, records in tables.items()}
    files |= {
        "main.csv": csv_text(MainRecord, main_records(config, layout, means, floor)),
        "deviations.csv": csv_text(DeviationRecord, deviation_records(tables)),
        "gains.csv": csv_text(GainRecord, gains),
        "claims.csv": csv_text(ClaimRecord, claims),
        "claim_tests.csv": csv_text(ClaimTestRecord, tests),
        "mechanisms.csv": csv_text(MechanismRecord, mechanisms),
        "ranks.csv": csv_text(RankRecord, rank_records(config, paired)),
        "order.csv": csv_text(OrderRecord, order_records(config, paired)),
        "training.csv": csv_text(TrainingRecord, training_records(config, artifacts)),
        "verification.csv": csv_text(
            VerificationRecord, verification_records(config, observations, people)
        ),
        "roc.csv": csv_text(RocRecord, roc_records(observations, people)),
        "verification_histogram.csv": csv_text(
            HistogramRecord, histogram_records(observations, people)
        ),
    } | {name: json_text(card) for name, card in cards.items()}
    metrics = quoted_metrics(tables, claims)
    files |= {name: json_text(values) for name, values in metrics.items()}
    for name, text in files.items():
        write_text(out / name, text)
    for path in (out / METRICS).rglob("*.json"):  # of runs that are no more
        if path.relative_to(out).as_posix() not in metrics:
            path.unlink()


def estimate_columns(
    config: Config, table: Table, scores: pd.DataFrame, observations: Observations
) -> dict[Column, ColumnEstimates | None]:
    """Estimates of every column group of a table.

    Raises:
        UserError: a convention is missing, or two methods were scored on different images.
    """
    if table.recognition:
        return {column: estimate_table3(config, observations) for column in table.columns}
    return {column: estimate_column(config, scores, table, column) for column in table.columns}


def _robustness_scores(config: Config, folder: Path) -> dict[Cell, PairedScores]:
    """The robustness curve, where ``dfpg robustness`` has run."""
    measured = (folder / f"{BASELINE_PART}.csv").exists()
    return pair_curve_scores(config, read_curve(config, folder)) if measured else {}


def read_network_card(path: Path, stage: str) -> dict[str, Any]:
    """The card of a network in use, a JSON object that a stage wrote.

    Raises:
        UserError: the card is missing or damaged.
    """
    try:
        card = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable card; run the {stage} stage first") from error
    if not isinstance(card, dict):
        raise UserError(f"{path}: no JSON object; run the {stage} stage again")
    return card


def table_records(
    config: Config,
    table: Table,
    estimates: Mapping[Column, ColumnEstimates | None],
    floor: Floor,
    remarks: Mapping[str, str],
) -> list[TableRecord]:
    """One record per row, column group and metric; a row never vanishes, it has a reason.

    ``remarks`` on trainings, by run, become part of the rows' notes.
    """
    return [
        _record(config, table, row, column, metric, estimates[column], floor, remarks)
        for row in table_rows(table, config)
        for column in table.columns
        for metric in table.conventions
    ]


def _record(
    config: Config,
    table: Table,
    row: Row,
    column: Column,
    metric: str,
    found: ColumnEstimates | None,
    floor: Floor,
    remarks: Mapping[str, str],
) -> TableRecord:
    convention = table.conventions[metric]
    key = (row.run or "", convention)
    present = found is not None and key in found.values
    bounds = found.values[key] if found and present else NO_ESTIMATE
    published = published_values().get(
        PublishedKey(table.name, row.key, column.test_set, column.subset, metric)
    )
    fidelity = row_fidelity(config, row) if present else "reported only"
    remark = remarks.get(row.run or "", "") if present else ""
    own = row.prior and fidelity == row.fidelity  # trained here with the prior network
    verdict, reason = "", _missing_reason(config, row, metric, found, bounds, present)
    if published and reason:
        verdict = NOT_COMPARABLE
    elif published:
        differences = differences_from_paper(config, column, metric)
        variance = printed_variance(config, column, found.people if found else 0)
        verdict, reason = comparison_verdict(bounds, published, metric, differences, variance)
        reason = ", ".join([reason, *obstacles(config, row, column, metric)])
    return TableRecord(
        row=row.key,
        run=row.run or "",
        test_set=column.test_set,
        subset=column.subset,
        metric=metric,
        convention=convention,
        value=bounds.mean,
        ci_low=bounds.low,
        ci_high=bounds.high,
        n_images=found.images if found and present else None,
        n_people=found.people if found and present else None,
        published=published.text if published else "",
        deviation=bounds.mean - published.value if published else math.nan,
        verdict=verdict,
        reason=reason,
        fidelity=fidelity,
        note="; ".join(filter(None, (row_note(row, fidelity), remark))),
        source="; ".join(slot_labels(config, column)) if present else "",
        prior=prior_network(config) if present and (own or metric == "d_vgg") else "",
        train_images=training_images(config, row.run) if present else None,
        profile=config.profile,
        floor=floor.standing(column, row.run, convention) if present else "",
    )


def _missing_reason(
    config: Config,
    row: Row,
    metric: str,
    found: ColumnEstimates | None,
    bounds: Estimate,
    present: bool,
) -> str:
    """Why a record has no finite value; empty where it has one."""
    if present:
        if math.isfinite(bounds.mean):
            return ""
        if metric.startswith("verification"):
            return "too few people with reference pictures for folds"
        if math.isnan(bounds.mean):
            return "scored with another network: submit it again"
        return "infinite: restored images equal the sharp ones"
    if row.run not in (*config.runs, *BASELINES, *CLASSICAL):
        return empty_reason(config, row)
    return "no such test images in this profile" if found is None else "not evaluated on them"
