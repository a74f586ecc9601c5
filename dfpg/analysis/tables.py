"""The paper's tables with intervals, beside the published figures; no torch, seconds."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dfpg.analysis.claim_tests import claim_records
from dfpg.analysis.comparability import NOT_COMPARABLE, judge, obstacles, prior_network, slots
from dfpg.analysis.estimates import Bounds, Estimate, estimate, load_scores
from dfpg.analysis.paired_scores import Cell, Panel, panels
from dfpg.analysis.people_bootstrap import holm
from dfpg.analysis.ranks import order_records, rank_records
from dfpg.analysis.robustness import BASELINE_PART, curve_panels, read_curve
from dfpg.analysis.submissions import load_submissions, with_observations, with_rows, with_scores
from dfpg.analysis.verification import estimate_table3, load_observations
from dfpg.analysis.verification_records import histograms, roc_curves, verification
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.evaluation.recognition.references import EMBEDDER_CARD
from dfpg.paper.published import ERRATA, Key, figures
from dfpg.paper.tables import BASELINES, TABLES, Column, Row, Table, fidelity, note, rows_of
from dfpg.report.recognition_plots import draw_histogram, draw_roc
from dfpg.report.style import row_styles

Record = dict[str, str]
NO_VALUE = Bounds(math.nan, math.nan, math.nan)


def build_tables(
    config: Config, artifacts: Path, out: Path, submissions: Path | None = None
) -> None:
    """Write the results of all runs whose per-image CSV exists.

    Writes ``table1.csv`` ... ``table4.csv`` (one record per row, column group and metric),
    ``metrics.json`` (their finite values), ``deviations.csv`` (one record per figure of the paper),
    ``gains.csv`` (every row against ``blurred``), ``claims.csv`` and ``claim_tests.csv``
    (:mod:`dfpg.analysis.claim_tests`), ``ranks.csv`` and ``order.csv``
    (:mod:`dfpg.analysis.ranks`), ``training.csv``, ``prior.json``; of verification
    ``verification.csv``, ``roc.csv``, ``embedder.json``, ``verification_histogram.csv``, and two
    plots in ``artifacts/figures``.

    Args:
        config: the profile.
        artifacts: folder with ``per_image``, ``recognition``, ``references``, ``priors``,
            ``history`` and ``cost``; and ``robustness`` where that was measured.
        out: the results' folder.
        submissions: folder of other codes' scores (:mod:`dfpg.analysis.submissions`), if there
            is one.

    Raises:
        UserError: the baselines or a card are missing, or two runs were scored on different
            images.
    """
    scores = load_scores(config, artifacts / "per_image")
    observations = load_observations(config, artifacts)
    external = load_submissions(config, submissions, artifacts, scores) if submissions else []
    scores = with_scores(scores, external)
    observations = with_observations(observations, external)
    layout = [with_rows(table, external) for table in TABLES]
    cards = {
        "prior.json": read_card(artifacts / "priors" / "card.json", "priors"),
        "embedder.json": read_card(artifacts / "references" / EMBEDDER_CARD, "baselines"),
    }
    tables: dict[str, list[Record]] = {}
    gains: list[Record] = []
    for table in layout:
        estimates = (
            {column: estimate_table3(config, observations) for column in table.columns}
            if table.recognition
            else {column: estimate(config, scores, table, column) for column in table.columns}
        )
        tables[table.name] = long_table(config, table, estimates)
        gains += gains_over_blurred(config, table, estimates)
    table3 = next(table for table in layout if table.recognition)
    people = rows_of(table3, config)
    curves, counts = roc_curves(observations, people), histograms(observations, people)
    paired = panels(config, scores, observations)
    claims, tests = claim_records(config, paired | _moved(config, artifacts / "robustness"))
    files = {f"{name}.csv": _csv(records) for name, records in tables.items()}
    files |= {
        "metrics.json": _json(metrics(tables)),
        "deviations.csv": _csv(deviations(tables)),
        "gains.csv": _csv(gains),
        "claims.csv": _csv(claims),
        "claim_tests.csv": _csv(tests),
        "ranks.csv": _csv(rank_records(config, paired)),
        "order.csv": _csv(order_records(config, paired)),
        "training.csv": _csv(training(config, artifacts)),
        "verification.csv": _csv(verification(config, observations, people)),
        "roc.csv": _csv(curves),
        "verification_histogram.csv": _csv(counts),
    } | {name: _json(card) for name, card in cards.items()}
    for name, text in files.items():
        write_text(out / name, text)
    draw_roc(curves, row_styles(config, table3), artifacts / "figures" / "roc.png")
    draw_histogram(counts, artifacts / "figures" / "verification_histogram.png")


def _moved(config: Config, folder: Path) -> dict[Cell, Panel]:
    """The robustness curve, where ``dfpg robustness`` has run."""
    measured = (folder / f"{BASELINE_PART}.csv").exists()
    return curve_panels(config, read_curve(config, folder)) if measured else {}


def read_card(path: Path, stage: str) -> dict[str, Any]:
    """The card of a network in use, a JSON object that a stage wrote.

    Raises:
        UserError: the card is missing or damaged.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable card; run the {stage} stage first") from error
    if not isinstance(card, dict):
        raise UserError(f"{path}: no JSON object; run the {stage} stage again")
    return card


def long_table(
    config: Config, table: Table, estimates: Mapping[Column, Estimate | None]
) -> list[Record]:
    """One record per row, column group and metric; a row never vanishes, it has a reason."""
    return [
        _record(config, table, row, column, metric, estimates[column])
        for row in rows_of(table, config)
        for column in table.columns
        for metric in table.conventions
    ]


def metrics(tables: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Finite values as table -> row -> protocol/subset -> metric, for ``dvc metrics diff``."""
    nested: dict[str, Any] = {}
    for name, records in tables.items():
        for record in records:
            if record["value"]:
                column = f"{record['protocol']}/{record['subset']}"
                cells = nested.setdefault(name, {}).setdefault(record["row"], {})
                cells.setdefault(column, {})[record["metric"]] = float(record["value"])
    return nested


def deviations(tables: Mapping[str, Sequence[Record]]) -> list[Record]:
    """One record per figure that the paper prints: published, reproduced, verdict, erratum."""
    found = {
        Key(name, record["row"], record["protocol"], record["subset"], record["metric"]): record
        for name, records in tables.items()
        for record in records
    }
    copied = ("value", "ci_low", "ci_high", "deviation", "verdict", "reason")
    return [
        key._asdict()
        | {"published": figure.text}
        | {name: found[key][name] for name in copied}
        | {"erratum": ERRATA.get(key, "")}
        for key, figure in figures().items()
    ]


def gains_over_blurred(
    config: Config, table: Table, estimates: Mapping[Column, Estimate | None]
) -> list[Record]:
    """Paired gain of every trained row over ``blurred``; Holm's family: one column and metric."""
    trained = [row for row in rows_of(table, config) if row.run not in BASELINES]
    records = []
    for column, found in estimates.items():
        if found is None:
            continue
        for metric, convention in table.conventions.items():
            rows = [row for row in trained if (row.run, convention) in found.gains]
            keys = [(str(row.run), convention) for row in rows]
            adjusted = holm([found.p[key] for key in keys])
            for row, key, p_holm in zip(rows, keys, adjusted.tolist(), strict=True):
                gain = found.gains[key]
                records.append(
                    {
                        "table": table.name,
                        "row": row.key,
                        "run": key[0],
                        "protocol": column.protocol,
                        "subset": column.subset,
                        "metric": metric,
                        "convention": convention,
                        "gain": _number(gain.mean),
                        "ci_low": _number(gain.low),
                        "ci_high": _number(gain.high),
                        "verdict": _direction(gain),
                        "p": _p_value(found.p[key]),
                        "p_holm": _p_value(p_holm),
                        "n_images": str(found.images),
                        "n_people": str(found.people),
                    }
                )
    return records


def training(config: Config, artifacts: Path) -> list[Record]:
    """What each run was given and took, and its last validation PSNR in dB where there is one."""
    return [
        {
            "run": name,
            "method": run.method,
            "protocol": run.protocol,
            "steps": str(steps_of(config, name)),
            "images": train_images(config, name),
            "seconds": _seconds(artifacts / "cost" / f"{name}.json"),
            "lr": f"{run.lr:g}",
            "validation_psnr": _last_validation(artifacts / "history" / f"{name}.csv"),
            "profile": config.profile,
        }
        for name, run in sorted(config.runs.items())
    ]


def _last_validation(history: Path) -> str:
    """Validation PSNR of the last row of a run's history; empty without one."""
    lines = list(csv.DictReader(history.read_text().splitlines())) if history.exists() else []
    return lines[-1].get("validation_psnr", "") if lines else ""


def train_images(config: Config, run: str | None) -> str:
    """Number of images that a run was trained on; empty for what is no run."""
    if run not in config.runs:
        return ""
    return str(steps_of(config, run) * config.training.batch_size)


def steps_of(config: Config, run: str) -> int:
    """Training steps of a run: none where it takes published weights."""
    return config.runs[run].steps if config.runs[run].weights is None else 0


def _seconds(cost: Path) -> str:
    """What a training took, from the cost that its loop wrote; empty without one."""
    try:
        return f"{json.loads(cost.read_text(encoding='utf-8'))['seconds']:.1f}"
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{cost}: no record of a training's cost; run train again") from error


def _record(
    config: Config,
    table: Table,
    row: Row,
    column: Column,
    metric: str,
    found: Estimate | None,
) -> Record:
    convention = table.conventions[metric]
    key = (row.run or "", convention)
    present = found is not None and key in found.values
    bounds = found.values[key] if found and present else NO_VALUE
    figure = figures().get(Key(table.name, row.key, column.protocol, column.subset, metric))
    closeness = fidelity(config, row) if present else "reported only"
    own = row.prior and closeness == row.fidelity  # trained here with the prior network
    verdict, reason = "", _why_empty(config, row, metric, found, bounds, present)
    if figure and reason:
        verdict = NOT_COMPARABLE
    elif figure:
        hindrances = obstacles(config, column, metric)
        verdict, reason = judge(bounds, figure.value, metric, hindrances)
    return {
        "row": row.key,
        "run": row.run or "",
        "protocol": column.protocol,
        "subset": column.subset,
        "metric": metric,
        "convention": convention,
        "value": _number(bounds.mean),
        "ci_low": _number(bounds.low),
        "ci_high": _number(bounds.high),
        "n_images": str(found.images) if found and present else "",
        "n_people": str(found.people) if found and present else "",
        "published": figure.text if figure else "",
        "deviation": _number(bounds.mean - figure.value) if figure else "",
        "verdict": verdict,
        "reason": reason,
        "fidelity": closeness,
        "note": note(row, closeness),
        "source": "; ".join(slots(config, column)) if present else "",
        "prior": prior_network(config) if present and (own or metric == "d_vgg") else "",
        "train_images": train_images(config, row.run) if present else "",
        "profile": config.profile,
    }


def _why_empty(
    config: Config, row: Row, metric: str, found: Estimate | None, bounds: Bounds, present: bool
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
    if row.run not in (*config.runs, *BASELINES):
        return row.missing
    return "no such test images in this profile" if found is None else "not evaluated on them"


def _direction(gain: Bounds) -> str:
    """Whether the interval of a gain excludes zero, and on which side."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "undecided"


def _number(value: float) -> str:
    """Five decimals; empty where there is no finite number."""
    return f"{round(value, 5) + 0.0:.5f}" if math.isfinite(value) else ""


def _p_value(value: float) -> str:
    return f"{value:.2e}" if math.isfinite(value) else ""


def _csv(records: Sequence[Record]) -> str:
    """Records with the union of their columns, in the order in which these first appear."""
    names = list(dict.fromkeys(name for record in records for name in record))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return stream.getvalue()


def _json(content: Mapping[str, Any]) -> str:
    """JSON of finite numbers, keys in the order given."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
