from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dfpg.analysis import verdicts
from dfpg.analysis.barriers import NOT_MEASURED, NOT_TESTED
from dfpg.analysis.claim_tests import (
    HOLDS,
    NO_SPREAD,
    OPEN,
    REVERSED,
    SMALL,
    ComparisonOutcome,
    Evidence,
    Kind,
)
from dfpg.analysis.paired_scores import PairedScores
from dfpg.analysis.strata import make_stratum
from dfpg.analysis.training_cost import Length
from dfpg.analysis.verdicts import (
    CONSISTENT,
    INCONSISTENT,
    REFUTED,
    SUPPORTED,
    TOO_SMALL,
    UNDECIDED,
    claim_records,
    claim_verdict,
)
from dfpg.paper.claims import CLAIMS, Claim, Comparison
from dfpg.paper.margins import MARGINS
from dfpg.paper.mechanisms import MECHANISMS
from dfpg.paper.tables import HIGHER_IS_BETTER, Cell, Column

COMPARISON = Comparison(Cell("table1", Column("shen", "helen"), "psnr"), "dfpg_a", "lee2020")
CLAIM = Claim("toy", "4", "a is better than b", (COMPARISON,))


def outcomes_of(*kinds: str, spread: float = 0.1) -> list[ComparisonOutcome]:
    missing = {NOT_MEASURED: "no scores of x", NOT_TESTED: "x is not above the floor"}
    return [
        ComparisonOutcome(COMPARISON, missing.get(kind, ""), outcome=kind, spread=spread)
        for kind in kinds
    ]


@pytest.mark.parametrize(
    ("kinds", "verdict", "reason"),
    [
        ([HOLDS, HOLDS], SUPPORTED, "2 of 2 comparisons hold"),
        ([HOLDS, OPEN], UNDECIDED, "1 of 2 comparisons are open"),
        ([HOLDS, SMALL], TOO_SMALL, "1 of 2 comparisons within the margin"),
        ([OPEN, SMALL], UNDECIDED, "1 of 2 comparisons are open"),
        ([HOLDS, NOT_MEASURED], NOT_TESTED, "1 of 2 comparisons: no scores of x"),
        ([HOLDS, NOT_TESTED], NOT_TESTED, "1 of 2 comparisons: x is not above the floor"),
        (
            [HOLDS, NOT_MEASURED, NOT_TESTED, NOT_TESTED],
            NOT_TESTED,
            "3 of 4 comparisons: no scores of x (1 of them); x is not above the floor (2 of them)",
        ),
        ([HOLDS, NOT_TESTED, REVERSED], REFUTED, "1 of 3 comparisons reversed"),
        ([], NOT_TESTED, "nothing here can test it"),
    ],
)
def test_verdict_of_a_claim(kinds, verdict, reason):
    assert claim_verdict(CLAIM, outcomes_of(*kinds)) == (verdict, reason)


def test_what_no_seed_was_measured_for_is_undecided_for_that_reason():
    verdict, reason = claim_verdict(CLAIM, outcomes_of(OPEN, spread=math.nan))
    assert verdict == UNDECIDED
    assert reason.endswith(NO_SPREAD)


@pytest.mark.parametrize("kind", [HOLDS, NOT_TESTED, OPEN])
def test_a_mechanism_that_does_not_work_leaves_the_claim_untested(kind):
    verdict = claim_verdict(CLAIM, outcomes_of(kind), ["D is at chance"])
    assert verdict == (NOT_TESTED, "D is at chance")


def test_a_comparison_that_needs_no_such_mechanism_can_refute_the_claim():
    verdict = claim_verdict(CLAIM, outcomes_of(NOT_TESTED, REVERSED), ["D is at chance"])
    assert verdict == (REFUTED, "1 of 2 comparisons reversed")


def test_networks_that_differ_in_more_are_consistent_at_most():
    mixed = replace(CLAIM, differ="sizes differ")
    assert claim_verdict(mixed, outcomes_of(HOLDS))[0] == CONSISTENT
    assert claim_verdict(mixed, outcomes_of(REVERSED))[0] == INCONSISTENT
    assert {claim.key for claim in CLAIMS if claim.differ} >= {"misalignment", "facial-prior"}


def test_a_claim_hangs_on_the_weakest_comparison_that_is_judged(config, monkeypatch):
    """B3 is far behind B1, but was trained for less; B2 against B1 is what was judged."""
    cell = Cell("table4", Column("mspl_center", "mean"), "psnr")
    people = [str(number) for number in range(40)]
    values = np.random.default_rng(0).normal([25, 25.3, 20], 0.1, (40, 3))
    stratum = make_stratum(values, people, 200, 0)
    evidence = Evidence(
        {cell: PairedScores(("b1", "b2", "b3"), (stratum,), "psnr", 40)},
        spreads={Kind("psnr", True): 0.0},
        lengths={"b1": Length(200, False), "b2": Length(200, False), "b3": Length(100, False)},
    )
    compared = (Comparison(cell, "b2", "b1"), Comparison(cell, "b3", "b1"))
    monkeypatch.setattr(verdicts, "CLAIMS", (replace(CLAIM, comparisons=compared),))
    claims, tests = claim_records(config, evidence)
    assert [test.outcome for test in tests] == [HOLDS, NOT_TESTED]
    assert tests[1].t < 0 < tests[0].t
    assert claims[0].weakest_better == "b2"
    assert claims[0].t == tests[0].t


def test_every_claim_that_can_be_tested_says_what_it_takes_for_granted(config):
    for claim in CLAIMS:
        if claim.comparisons:
            assert claim.presupposes, claim.key
        for run, mechanism in claim.presupposes:
            assert run in config.runs
            assert mechanism in MECHANISMS


def test_every_metric_has_a_margin_and_a_reason():
    assert set(MARGINS) == set(HIGHER_IS_BETTER)
    assert (MARGINS["psnr"].value, MARGINS["ssim"].value) == (0.05, 0.003)
    assert all(margin.reason for margin in MARGINS.values())
