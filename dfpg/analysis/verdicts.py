"""Verdicts on the paper's claims.

A claim is *supported* where all its comparisons hold, *refuted* where one is reversed, *too small
to matter* where none is open and one is too small, *undecided* where one is open. It is *not
tested* where no training shows what it takes for granted, where a row of it does not beat a fixed
filter, where rows were trained on unequal numbers of images, or where something was not measured.
Where the networks that it compares differ in more than what it speaks of, scores can only be
*consistent with* it, or not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from dfpg.analysis.barriers import NOT_MEASURED, NOT_TESTED, column_label, run_of_row
from dfpg.analysis.claim_tests import (
    HOLDS,
    NO_SPREAD,
    OPEN,
    REVERSED,
    SMALL,
    ComparisonOutcome,
    Evidence,
    published_effect,
    run_tests,
)
from dfpg.analysis.comparability import differences_from_paper
from dfpg.analysis.mechanisms import absent_mechanisms, idle_trainings
from dfpg.analysis.result_records import ClaimRecord, ClaimTestRecord
from dfpg.analysis.study_records import ReadingRecord
from dfpg.core.config import Config
from dfpg.paper.claims import CLAIMS, ROBUSTNESS, Claim, Comparison
from dfpg.paper.margins import MARGINS
from dfpg.paper.tables import MEAN, Cell, Column

SUPPORTED, REFUTED, TOO_SMALL = "supported", "refuted", "too small to matter"
UNDECIDED = "undecided"
CONSISTENT, INCONSISTENT = "consistent with it", "not consistent with it"
VERDICTS = (SUPPORTED, CONSISTENT, REFUTED, INCONSISTENT, TOO_SMALL, UNDECIDED, NOT_TESTED)
# Fields of a test's record that a claim's record repeats for its weakest comparison.
COMPARED = (
    "table",
    "test_set",
    "subset",
    "against",
    "metric",
    "convention",
    "better",
    "worse",
    "margin",
)
MEASURED = ("effect", "ci_low", "ci_high", "t", "df", "p", "p_holm", "n_images", "n_people")


def claim_records(
    config: Config, evidence: Evidence, readings: Sequence[ReadingRecord] = ()
) -> tuple[list[ClaimRecord], list[ClaimTestRecord]]:
    """Records of ``claims.csv``, one per claim, and of ``claim_tests.csv``, one per comparison."""
    claims, tests = [], []
    for claim in CLAIMS:
        idle = idle_trainings(claim, evidence.mechanisms, [config.seed, *evidence.seeds])
        outcomes = run_tests(config, evidence, claim.comparisons, claim.off_task, idle)
        verdict = claim_verdict(claim, outcomes, absent_mechanisms(claim, evidence.mechanisms))
        record = _claim_record(config, claim, outcomes, verdict)
        own = [reading for reading in readings if reading.claim == claim.key]
        claims.append(record.model_copy(update={"readings": over_readings(own)}))
        tests += [_test_record(config, claim, outcome) for outcome in outcomes]
    return claims, tests


def claim_verdict(
    claim: Claim, outcomes: Sequence[ComparisonOutcome], absent: Sequence[str] = ()
) -> tuple[str, str]:
    """Verdict on a claim and the reason for it.

    Args:
        claim: what it takes for granted, and whether the networks differ in more.
        outcomes: of its comparisons.
        absent: mechanisms that were not seen at work, in words.
    """
    if not outcomes:
        return NOT_TESTED, claim.caution or "nothing here can test it"
    kinds = [outcome.outcome for outcome in outcomes]
    total = len(kinds)
    supported, refuted = (CONSISTENT, INCONSISTENT) if claim.differ else (SUPPORTED, REFUTED)
    if REVERSED in kinds:
        return refuted, f"{kinds.count(REVERSED)} of {total} comparisons reversed"
    if absent:
        return NOT_TESTED, "; ".join(absent)
    barred = Counter(
        outcome.missing for outcome in outcomes if outcome.outcome in (NOT_TESTED, NOT_MEASURED)
    )
    if barred:
        several = len(barred) > 1
        why = "; ".join(f"{one} ({n} of them)" if several else one for one, n in barred.items())
        return NOT_TESTED, f"{barred.total()} of {total} comparisons: {why}"
    if OPEN in kinds:
        unknown = any(math.isnan(outcome.spread) for outcome in outcomes)
        why = f": {NO_SPREAD}" if unknown else ""
        return UNDECIDED, f"{kinds.count(OPEN)} of {total} comparisons are open{why}"
    if SMALL in kinds:
        return TOO_SMALL, f"{kinds.count(SMALL)} of {total} comparisons within the margin"
    return supported, f"{total} of {total} comparisons hold"


def over_readings(records: Sequence[ReadingRecord]) -> str:
    """In how many readings a claim goes its way; empty without any.

    It does where all its comparisons do, and the other way where one of them does.
    """
    directions: dict[tuple[str, str], set[str]] = {}
    for record in records:
        directions.setdefault((record.choice, record.answer), set()).add(record.direction)
    if not directions:
        return ""
    total = len(directions)
    right = sum(found == {"right"} for found in directions.values())
    wrong = sum("wrong" in found for found in directions.values())
    text = f"right in {right} of {total} readings, wrong in {wrong}"
    return f"{text}: its sign depends on the reading" if right and wrong else text


def _claim_record(
    config: Config,
    claim: Claim,
    outcomes: Sequence[ComparisonOutcome],
    verdict: tuple[str, str],
) -> ClaimRecord:
    measured = [outcome for outcome in outcomes if math.isfinite(outcome.effect)]
    judged = [outcome for outcome in measured if not outcome.missing]
    weakest = min(judged or measured, key=lambda outcome: outcome.t, default=None)
    effects = [published_effect(comparison) for comparison in claim.comparisons]
    published = [effect for effect in effects if not math.isnan(effect)]
    kinds = [outcome.outcome for outcome in outcomes]
    record = ClaimRecord(
        claim=claim.key,
        where=claim.where,
        meaning=claim.meaning,
        verdict=verdict[0],
        reason=verdict[1],
        n_comparisons=len(outcomes),
        n_hold=kinds.count(HOLDS),
        n_reversed=kinds.count(REVERSED),
        n_open=kinds.count(OPEN),
        n_not_measured=kinds.count(NOT_MEASURED),
        n_small=kinds.count(SMALL),
        n_not_tested=kinds.count(NOT_TESTED),
        n_printed=len(published),
        n_printed_hold=sum(effect > 0 for effect in published),
        caution="; ".join(part for part in (claim.differ, claim.caution) if part),
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
        test_set=cell.column.test_set,
        subset=cell.column.subset,
        against=_reference_label(cell, comparison.against),
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
        n_seeds=outcome.seeds or None,
        seed_sd=outcome.spread,
        smallest=MARGINS[cell.metric].value,
        printed_effect=published_effect(comparison),
        profile=config.profile,
    )


def _reference_label(cell: Cell, column: Column | None) -> str:
    """Where a change starts: the test set, and the subset where it is another."""
    if column is None:
        return ""
    return column.test_set if column.subset == cell.column.subset else column_label(column)


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
        run_of_row(comparison.cell.table, row)
        for comparison in chosen
        for row in (comparison.better, comparison.worse)
    }
    shown = {run.images for name, run in config.runs.items() if name in runs and not run.weights}
    ends = sorted({min(shown), max(shown)}) if shown else []
    span = " to ".join(f"{number:,}" for number in ends)
    trained = [f"trained here on {span} images"] if shown else []
    return "; ".join([*found, *trained]) or "the paper's images and weights"


def _column(cell: Cell) -> Column:
    """The column whose images a cell is of: the curve's are those of all subsets."""
    return Column(cell.column.test_set, MEAN) if cell.table == ROBUSTNESS else cell.column
