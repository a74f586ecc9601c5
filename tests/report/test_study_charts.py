from __future__ import annotations

from pathlib import Path

import pytest

from dfpg.analysis.records import csv_text
from dfpg.analysis.study_records import BudgetRecord, ReadingRecord
from dfpg.report.study_charts import budget_charts, read_study, reading_charts

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
    assert "profile +0.20, prior-taps released -0.30" in chart


def test_a_curve_runs_over_the_budgets_in_order():
    (chart,) = budget_charts([budget(400, 0.4), budget(100, 0.1)])
    assert "(grows): 100 images +0.10, 400 images +0.40" in chart


@pytest.mark.parametrize("kind", [ReadingRecord, BudgetRecord])
def test_a_file_of_another_profile_or_none_has_no_charts(tmp_path: Path, kind):
    path = tmp_path / "study.csv"
    assert read_study(kind, path, "smoke") == []
    record = reading() if kind is ReadingRecord else budget(100, 0.1)
    path.write_text(csv_text(kind, [record]))
    assert read_study(kind, path, "smoke") == [record]
    assert read_study(kind, path, "embedded") == []
