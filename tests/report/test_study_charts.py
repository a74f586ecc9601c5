from __future__ import annotations

from pathlib import Path

import pytest

from dfpg.analysis.records import csv_text
from dfpg.analysis.study_records import STEADY, BudgetRecord, ReadingRecord
from dfpg.report.study_charts import (
    budget_charts,
    claim_budgets,
    of_ablation,
    of_claims,
    read_study,
    reading_charts,
)

COMMON = {"claim": "ablation-order", "metric": "psnr", "better": "b4", "worse": "b3",
          "ci_low": -0.1, "ci_high": 0.4, "n_people": 40, "seed": 0}  # fmt: skip


def reading(**changes: object) -> ReadingRecord:
    fields = {"choice": "profile", "answer": "", "effect": 0.2, "direction": "open", "images": 1600,
              "profile": "smoke"}  # fmt: skip
    return ReadingRecord.model_validate(COMMON | fields | changes)


def budget(images: int, effect: float) -> BudgetRecord:
    fields = {"test_set": "mspl_center", "subset": "mean", "direction": "right", "trend": "grows",
              "images": images, "effect": effect, "profile": "smoke"}  # fmt: skip
    return BudgetRecord.model_validate(COMMON | fields)


def test_what_two_claims_share_is_drawn_once_and_every_reading_is_named():
    records = [reading(), reading(choice="prior-taps", answer="released", effect=-0.3,
                                  direction="wrong")]  # fmt: skip
    (chart,) = reading_charts([*records, *(r.model_copy(update={"claim": "x"}) for r in records)])
    assert "B4 over B3" in chart
    assert "profile +0.20, third level before its rectifier -0.30" in chart


def test_a_curve_runs_over_the_budgets_in_order():
    (chart,) = budget_charts([budget(400, 0.4), budget(100, 0.1)])
    assert "(grows): 100 images +0.10, 400 images +0.40" in chart
    for images in ("100", "400"):
        assert f">{images}</text>" in chart


def test_an_effect_that_contains_a_margin_says_so():
    changes = {"claim": "perceptual-loss", "better": "b1", "worse": "b2"}
    (chart,) = budget_charts([budget(100, 0.1).model_copy(update=changes)])
    assert "B1 over B2, plus 0.05, effect on PSNR" in chart
    (forest,) = reading_charts([reading(**changes)])
    assert "B1 over B2, plus 0.05, effect in dB" in forest


@pytest.mark.parametrize("kind", [ReadingRecord, BudgetRecord])
def test_a_file_of_another_profile_or_none_has_no_charts(tmp_path: Path, kind):
    path = tmp_path / "study.csv"
    assert read_study(kind, path, "smoke") == []
    record = reading() if kind is ReadingRecord else budget(100, 0.1)
    path.write_text(csv_text(kind, [record]))
    assert read_study(kind, path, "smoke") == [record]
    assert read_study(kind, path, "embedded") == []


def claimed(claim: str, subset: str, effects: tuple[float, float], trend: str, **changes: object):
    """A comparison of a claim at two budgets, in PSNR."""
    fields = {"claim": claim, "subset": subset, "trend": trend, "better": "dfpg_b",
              "worse": "nafnet"} | changes  # fmt: skip
    budgets = zip((400, 100), effects, strict=True)
    return [budget(images, effect).model_copy(update=fields) for images, effect in budgets]


def test_a_claim_has_a_chart_per_pair_of_rows_of_the_means_over_the_subsets():
    one = claimed("first-mspl", "celeba", (0.4, 0.2), "grows", ci_low=0.0, ci_high=0.6)
    two = claimed("first-mspl", "ffhq", (0.2, 0.2), STEADY, ci_low=-0.2, ci_high=0.4)
    other = claimed("first-mspl", "celeba", (0.1, 0.9), "falls", worse="b1")
    later = claimed("misalignment", "celeba", (1.0, 1.0), "grows")
    first, second = claim_budgets([*later, *one, *two, *other])
    assert first.meaning == "DFPG-B is the best in all 24 columns"
    assert (
        first.trend == "Of 3 comparisons the effect grows in 1, falls in 1, and does neither in 1."
    )
    chart, against_b1 = first.charts
    words = "dfpg_b over nafnet, effect on PSNR (dB) against images seen (grows in 1 of 2)"
    assert f"{words}: 100 images +0.20, 400 images +0.30." in chart
    assert "(falls): 100 images +0.90, 400 images +0.10." in against_b1
    assert (
        second.trend == "Of 1 comparisons the effect grows in 1, falls in 0, and does neither in 0."
    )


def test_a_claim_is_drawn_in_psnr_or_else_in_ssim_and_the_ablation_elsewhere():
    records = [
        *claimed("first-mspl", "celeba", (1, 1), "grows"),
        *claimed("first-mspl", "celeba", (1, 1), "grows", metric="ssim"),
        *claimed("first-shen", "celeba", (0.02, 0.01), "grows", metric="ssim", better="dfpg_a"),
        budget(100, 0.1),
    ]
    found = of_claims(records)
    assert {(one.claim, one.metric) for one in found} == {
        ("first-mspl", "psnr"),
        ("first-shen", "ssim"),
    }
    (chart,) = claim_budgets(found)[0].charts
    assert "effect on SSIM" in chart
    assert "400 images +0.0200" in chart
    assert of_ablation([*records, budget(100, 0.1).model_copy(update={"metric": "ssim"})]) == [
        records[-1]
    ]
