"""The paper's claims against our scores: supported, not supported or undecided, with the tests.

A claim is *supported* where every comparison of it holds, *not supported* where one of them is
the other way round, and *undecided* in between. A comparison holds, or is reversed, where its
paired t-test over people says so after Holm's correction over the comparisons of the claim.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dfpg.analysis.comparability import differences_from_paper
from dfpg.analysis.paired_scores import PairedScores
from dfpg.analysis.people_bootstrap import Stratum, holm, mean_interval, paired_test
from dfpg.analysis.result_records import ClaimRecord, ClaimTestRecord
from dfpg.core.config import Config
from dfpg.paper.claims import CLAIMS, ROBUSTNESS, Claim, Comparison
from dfpg.paper.published import published_value
from dfpg.paper.tables import MEAN, TABLES, Cell, Column

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"
HOLDS, REVERSED, OPEN, NOT_MEASURED = "holds", "reversed", "open", "not measured"
RUN_OF_ROW = {(table.name, row.key): row.run for table in TABLES for row in table.rows}
NO_ROBUSTNESS_SCORES = "run `dfpg robustness`"
# Fields of a test's record that a claim's record repeats for its weakest comparison.
COMPARED = (
    "table",
    "protocol",
    "subset",
    "against",
    "metric",
    "convention",
    "better",
    "worse",
    "margin",
)
MEASURED = ("effect", "ci_low", "ci_high", "t", "df", "p", "p_holm", "n_images", "n_people")


@dataclass(frozen=True)
class ComparisonOutcome:
    """A comparison's test; the effect is positive where the claim is right.

    Attributes:
        missing: why there is none; empty where there is one, else the numbers are NaN.
        p_holm: adjusted within the claim.
        outcome: holds, reversed, open or not measured.
    """

    comparison: Comparison
    missing: str = ""
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    t: float = math.nan
    degrees_of_freedom: int = 0
    p: float = math.nan
    p_holm: float = math.nan
    images: int = 0
    people: int = 0
    convention: str = ""
    outcome: str = NOT_MEASURED


def claim_records(
    config: Config, paired_scores: Mapping[Cell, PairedScores]
) -> tuple[list[ClaimRecord], list[ClaimTestRecord]]:
    """Records of ``claims.csv``, one per claim, and of ``claim_tests.csv``, one per comparison."""
    claims, tests = [], []
    for claim in CLAIMS:
        outcomes = run_tests(config, paired_scores, claim.comparisons)
        claims.append(_claim_record(config, claim, outcomes))
        tests += [_test_record(config, claim, outcome) for outcome in outcomes]
    return claims, tests


def run_tests(
    config: Config, paired_scores: Mapping[Cell, PairedScores], comparisons: Sequence[Comparison]
) -> list[ComparisonOutcome]:
    """Test the comparisons of one claim, which are one family."""
    outcomes = [_run_test(config, paired_scores, comparison) for comparison in comparisons]
    adjusted = holm([outcome.p for outcome in outcomes]).tolist()
    alpha = 1 - config.statistics.level
    tested = []
    for outcome, p_holm in zip(outcomes, adjusted, strict=True):
        verdict = NOT_MEASURED if outcome.missing else OPEN
        if p_holm < alpha:
            verdict = HOLDS if outcome.t > 0 else REVERSED
        tested.append(replace(outcome, p_holm=p_holm, outcome=verdict))
    return tested


def claim_verdict(outcomes: Sequence[ComparisonOutcome]) -> tuple[str, str]:
    """Verdict on a claim and the reason for it."""
    if not outcomes:
        return UNDECIDED, NOT_MEASURED
    kinds = [outcome.outcome for outcome in outcomes]
    total = len(kinds)
    if REVERSED in kinds:
        return NOT_SUPPORTED, f"{kinds.count(REVERSED)} of {total} comparisons reversed"
    if NOT_MEASURED in kinds:
        why = "; ".join(dict.fromkeys(outcome.missing for outcome in outcomes if outcome.missing))
        return UNDECIDED, f"{kinds.count(NOT_MEASURED)} of {total} comparisons not measured: {why}"
    if OPEN in kinds:
        return UNDECIDED, f"{kinds.count(OPEN)} of {total} comparisons cannot be told"
    return SUPPORTED, f"{total} of {total} comparisons hold"


def published_effect(comparison: Comparison) -> float:
    """The comparison's effect in the paper's own figures; NaN where it prints none."""
    columns = [comparison.cell.column]
    if comparison.against is not None:
        columns.append(comparison.against)
    gains = []
    for column in columns:
        cell = comparison.cell._replace(column=column)
        better, worse = (
            published_value(cell, comparison.better),
            published_value(cell, comparison.worse),
        )
        if better is None or worse is None:
            return math.nan
        gains.append(cell.sign * (better - worse))
    return gains[0] - sum(gains[1:]) + comparison.margin


def _run_test(
    config: Config, paired_scores: Mapping[Cell, PairedScores], comparison: Comparison
) -> ComparisonOutcome:
    cell = comparison.cell
    names = [_run(cell.table, row) for row in (comparison.better, comparison.worse)]
    columns = [cell.column, *([comparison.against] if comparison.against else [])]
    for column in columns:
        paired = paired_scores.get(cell._replace(column=column))
        if paired is None:
            if cell.table == ROBUSTNESS:
                return ComparisonOutcome(comparison, NO_ROBUSTNESS_SCORES)
            return ComparisonOutcome(comparison, f"no scores of {_label(column)} {cell.metric}")
        absent = [name for name in names if name not in paired.runs]
        if absent:
            return ComparisonOutcome(comparison, f"no scores of {absent[0]}")
    paired = paired_scores[cell]
    strata = _effects(paired_scores, comparison, str(names[0]), str(names[1]))
    interval, test = mean_interval(strata, config.statistics.level), paired_test(strata)
    if not math.isfinite(test.p[0]):
        return ComparisonOutcome(comparison, "one person only")
    return ComparisonOutcome(
        comparison,
        effect=float(interval.mean[0]),
        low=float(interval.low[0]),
        high=float(interval.high[0]),
        t=float(test.t[0]),
        degrees_of_freedom=test.degrees_of_freedom,
        p=float(test.p[0]),
        images=paired.images,
        people=paired.people,
        convention=paired.convention,
    )


def _effects(
    paired_scores: Mapping[Cell, PairedScores], comparison: Comparison, better: str, worse: str
) -> list[Stratum]:
    """Strata of the effect: signed so that positive is right, the margin added."""
    cell = comparison.cell
    effects = []
    before = comparison.against and paired_scores[cell._replace(column=comparison.against)]
    earlier = before.differences([(better, worse)]) if before else ()
    for number, part in enumerate(paired_scores[cell].differences([(better, worse)])):
        sums = part.sums - earlier[number].sums if earlier else part.sums
        sums = cell.sign * sums + comparison.margin * part.counts[:, None]
        effects.append(replace(part, sums=sums))
    return effects


def _claim_record(
    config: Config, claim: Claim, outcomes: Sequence[ComparisonOutcome]
) -> ClaimRecord:
    verdict, reason = claim_verdict(outcomes)
    measured = [outcome for outcome in outcomes if not outcome.missing]
    weakest = min(measured, key=lambda outcome: outcome.t, default=None)
    effects = [published_effect(comparison) for comparison in claim.comparisons]
    published = [effect for effect in effects if not math.isnan(effect)]
    kinds = [outcome.outcome for outcome in outcomes]
    record = ClaimRecord(
        claim=claim.key,
        where=claim.where,
        meaning=claim.meaning,
        verdict=verdict,
        reason=reason,
        n_comparisons=len(outcomes),
        n_hold=kinds.count(HOLDS),
        n_reversed=kinds.count(REVERSED),
        n_open=kinds.count(OPEN),
        n_not_measured=kinds.count(NOT_MEASURED),
        n_printed=len(published),
        n_printed_hold=sum(effect > 0 for effect in published),
        caution=claim.caution,
        data=_data(config, claim.comparisons),
        profile=config.profile,
    )
    if weakest is None:
        return record
    test = _test_record(config, claim, weakest)
    named = {f"weakest_{name}": getattr(test, name) for name in COMPARED}
    return record.model_copy(update=named | {name: getattr(test, name) for name in MEASURED})


def _test_record(config: Config, claim: Claim, outcome: ComparisonOutcome) -> ClaimTestRecord:
    comparison = outcome.comparison
    cell = comparison.cell
    return ClaimTestRecord(
        claim=claim.key,
        table=cell.table,
        protocol=cell.column.test_set,
        subset=cell.column.subset,
        against=_against(cell, comparison.against),
        metric=cell.metric,
        convention=outcome.convention,
        better=comparison.better,
        worse=comparison.worse,
        margin=comparison.margin or math.nan,
        outcome=outcome.outcome,
        reason=outcome.missing,
        effect=outcome.effect,
        ci_low=outcome.low,
        ci_high=outcome.high,
        t=outcome.t,
        df=outcome.degrees_of_freedom or None,
        p=outcome.p,
        p_holm=outcome.p_holm,
        n_images=outcome.images or None,
        n_people=outcome.people or None,
        printed_effect=published_effect(comparison),
        profile=config.profile,
    )


def _against(cell: Cell, column: Column | None) -> str:
    """Where a change starts: the test set, and the subset where it is another."""
    if column is None:
        return ""
    return column.test_set if column.subset == cell.column.subset else _label(column)


def _data(config: Config, comparisons: Iterable[Comparison]) -> str:
    """How the data of the comparisons differ from the paper's, and how long its runs trained."""
    chosen = tuple(comparisons)
    if not chosen:
        return ""
    found = dict.fromkeys(
        difference
        for comparison in chosen
        for difference in differences_from_paper(
            config, _column(comparison.cell), comparison.cell.metric
        )
    )
    runs = {
        _run(comparison.cell.table, row)
        for comparison in chosen
        for row in (comparison.better, comparison.worse)
    }
    shown = {run.images for name, run in config.runs.items() if name in runs and not run.weights}
    ends = sorted({min(shown), max(shown)}) if shown else []
    span = " to ".join(f"{number:,}" for number in ends)
    trained = [f"trained here on {span} images"] if shown else []
    return "; ".join([*found, *trained]) or "the paper's images and weights"


def _run(table: str, row: str) -> str | None:
    """The run behind a row; the curve's rows are runs."""
    return row if table == ROBUSTNESS else RUN_OF_ROW[table, row]


def _column(cell: Cell) -> Column:
    """The column whose images a cell is of: the curve's are those of all subsets."""
    return Column(cell.column.test_set, MEAN) if cell.table == ROBUSTNESS else cell.column


def _label(column: Column) -> str:
    return f"{column.test_set}/{column.subset}"
