"""What was run and what it cost, as lines to print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dfpg.analysis.comparability import prior_network, slot_labels
from dfpg.analysis.records import Count, Fixed4, Record
from dfpg.analysis.result_records import ClaimRecord, TrainingRecord
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import read_json
from dfpg.paper.tables import DECIMALS, TEST_SETS, Column
from dfpg.report.table_layout import NO_VALUE

UNKNOWN = "not recorded"


class CostRecord(Record):
    """``artifacts/pictures/costs.csv``: what restoring one picture takes, by run."""

    run: str
    method: str
    system: str
    paper: str
    published_weights: str  # their licence
    parameters: Count
    gmacs: Fixed4
    side: Count  # of the picture, px


class CostLine(NamedTuple):
    """One run of the cost table, as printed."""

    run: str
    system: str
    paper: str
    parameters: str  # millions
    gmacs: str
    images: str
    steps: str
    seconds: str
    weights: str  # licence of the published ones


class ClaimLine(NamedTuple):
    """One claim, as printed."""

    meaning: str
    where: str
    verdict: str
    reason: str
    holds: str  # how many comparisons hold, here and in the paper's own figures
    weakest: str  # the comparison on which the claim hangs, with its effect
    caution: str
    data: str


def run_facts(
    config: Config, results: Path, trained: Sequence[TrainingRecord]
) -> list[tuple[str, str]]:
    """What was run, as (what, value).

    Raises:
        UserError: ``environment.json`` is damaged.
    """
    found = _environment(results / "environment.json")
    device = ", ".join(
        str(found[key]) for key in ("device", "device_name", "platform") if found.get(key)
    )
    packages = found.get("packages") or {}
    versions = [f"Python {found['python']}"] if found.get("python") else []
    versions += [f"{name} {packages[name]}" for name in ("torch", "lpips") if packages.get(name)]
    given = sorted({line.images for line in trained if line.images is not None})
    seconds = sum(line.seconds for line in trained if math.isfinite(line.seconds))
    return [
        ("profile", config.profile),
        ("image size", f"{config.image_size} px"),
        ("seed", str(config.seed)),
        *(
            (f"test images, {test_set_titles(name)}", _slots(config, name))
            for name in config.protocols
        ),
        ("prior network and d_VGG", prior_network(config)),
        ("runs", str(len(config.runs))),
        ("training images of a run", _range(given)),
        ("training time, all runs", f"{seconds:,.0f} s"),
        ("device", device or UNKNOWN),
        ("precision of training", str(found.get("precision") or UNKNOWN)),
        ("precision of restoring", str(found.get("restoring_precision") or UNKNOWN)),
        ("versions", ", ".join(versions) or UNKNOWN),
        ("commit", str(found.get("commit") or found.get("no_commit") or UNKNOWN)),
        ("parameters (SHA-256)", str(found.get("config_sha256") or UNKNOWN)),
    ]


def _environment(path: Path) -> dict[str, Any]:
    """The recorded environment; empty where the stage has not run."""
    try:
        found = read_json(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged; run `dfpg environment` again") from error
    return found if isinstance(found, dict) else {}


def test_set_titles(protocol: str) -> str:
    """Names of the test sets that the paper makes of a protocol's images."""
    return " and ".join(own.title for own in TEST_SETS.values() if own.protocol == protocol)


def _slots(config: Config, protocol: str) -> str:
    test_set = next(name for name, own in TEST_SETS.items() if own.protocol == protocol)
    subsets = config.protocols[protocol].test.subsets  # type: ignore[index]
    return "; ".join(slot_labels(config, Column(test_set, name))[0] for name in subsets)


def _range(values: Sequence[int]) -> str:
    if not values:
        return UNKNOWN
    ends = dict.fromkeys((values[0], values[-1]))
    return " to ".join(f"{value:,}" for value in ends)


def cost_lines(costs: Sequence[CostRecord], trained: Sequence[TrainingRecord]) -> list[CostLine]:
    """One line per run of ``training.csv``; sizes where the stage ``pictures`` has counted them."""
    sizes = {record.run: record for record in costs}
    lines = []
    for record in trained:
        size = sizes.get(record.run)
        lines.append(
            CostLine(
                record.run,
                size.system if size else record.method,
                size.paper if size else "",
                f"{(size.parameters or 0) / 1e6:.2f}" if size else "",
                f"{size.gmacs:.2f}" if size else "",
                f"{record.images or 0:,}",
                f"{record.steps or 0}",
                f"{record.seconds:,.1f}" if math.isfinite(record.seconds) else "",
                size.published_weights if size else "",
            )
        )
    return lines


def claim_lines(claims: Sequence[ClaimRecord]) -> list[ClaimLine]:
    """One line per record of ``claims.csv``."""
    return [
        ClaimLine(
            record.meaning,
            record.where,
            record.verdict,
            record.reason,
            f"{record.n_hold} of {record.n_comparisons} here; in print "
            f"{record.n_printed_hold} of {record.n_printed}",
            _describe_weakest(record),
            "; ".join(part for part in (record.readings, record.caution) if part),
            record.data,
        )
        for record in claims
    ]


def _describe_weakest(record: ClaimRecord) -> str:
    """Which comparison is the weakest, and its effect, positive where the claim is right."""
    if not record.weakest_better:
        return ""
    metric = record.weakest_metric
    return (
        f"{record.weakest_better} over {record.weakest_worse}, "
        f"{record.weakest_test_set} {record.weakest_subset} {metric}: "
        + value_with_interval(record.effect, record.ci_low, record.ci_high, DECIMALS[metric] + 1)
    )


def value_with_interval(value: float, low: float, high: float, digits: int) -> str:
    """A value and its interval, as printed; a dash where there is none."""
    if not math.isfinite(value):
        return NO_VALUE
    text = f"{value:.{digits}f}"
    if not math.isfinite(low):
        return text
    return f"{text} ({low:.{digits}f} to {high:.{digits}f})"
