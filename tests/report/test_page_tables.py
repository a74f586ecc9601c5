from __future__ import annotations

import math
import re

import pytest
from helpers.csv_files import read_rows
from helpers.places import ROOT

from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import GainRecord, SeedRecord
from dfpg.analysis.study_records import BudgetRecord, MechanismRecord, ReadingRecord
from dfpg.core.errors import UserError
from dfpg.report.page_tables import (
    PAGE_TABLES,
    PAGES,
    ablation_table,
    budget_table,
    fill,
    fill_pages,
    floor_table,
    gains_table,
    mechanism_table,
    reading_table,
    variant_table,
)


def cells(table: str) -> list[list[str]]:
    """Cells of a Markdown table, its rule left out."""
    lines = [line for line in table.splitlines() if not re.fullmatch(r"[|-]+", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_table_replaces_what_is_between_its_marks_and_nothing_else(made):
    text = "a\n<!-- floor -->\nold\n<!-- /floor -->\nb\n<!-- other -->\nkept\n<!-- /other -->\n"
    filled = fill(text, made / "results")
    table = floor_table(made / "results")
    assert filled == text.replace("old", table)
    assert fill(filled, made / "results") == filled


def test_a_table_may_be_of_another_record_in_the_results(made):
    text = "<!-- floor of results -->\nold\n<!-- /floor -->\n"
    assert fill(text, made) == text.replace("old", floor_table(made / "results"))


def test_pages_are_written_where_they_differ(made, tmp_path):
    for page in PAGES:
        (tmp_path / page).parent.mkdir(exist_ok=True)
        table = gains_table(made / "results")
        (tmp_path / page).write_text(f"<!-- gains -->\n{table}\n<!-- /gains -->\n")
    (tmp_path / PAGES[0]).write_text("<!-- gains -->\n<!-- /gains -->\n")
    assert fill_pages(tmp_path, made / "results") == [PAGES[0]]
    assert gains_table(made / "results") in (tmp_path / PAGES[0]).read_text()
    assert fill_pages(tmp_path, made / "results") == []


def test_a_page_that_is_not_there_is_named(made, tmp_path):
    with pytest.raises(UserError, match=r"README\.md: cannot be read"):
        fill_pages(tmp_path, made / "results")


def test_every_row_has_its_gain_on_every_test_set_that_it_is_measured_on(made):
    heading, *rows = cells(gains_table(made / "results"))
    records = read_rows(made / "results" / "main.csv")
    assert heading[1:] == ["Shen test set", "MSPL-Center", "MSPL-Random"]
    assert len(rows) == len({r["row"] for r in records} - {"blurred"})
    shown = {
        (row[0].strip("*").lower().replace("-", "_"), place): cell
        for row in rows
        for place, cell in enumerate(row[1:])
    }
    for record in records:
        if record["row"] == "blurred":
            continue
        place = ("shen", "mspl_center", "mspl_random").index(record["test_set"])
        cell = shown.pop((record["row"], place))
        gain, low, high = (float(record[name]) for name in ("gain", "ci_low", "ci_high"))
        wanted = f"{gain:.2f} [{low:.2f}, {high:.2f}]".replace("-0.00", "0.00")
        assert cell == wanted + (" †" if record["floor"] == "not above" else "")
    assert set(shown.values()) <= {""}


def test_rows_are_in_the_order_of_mspl_center(made):
    rows = cells(gains_table(made / "results"))[1:]
    gains = [float(row[2].split()[0]) for row in rows if row[2]]
    assert len(gains) > 3
    assert gains == sorted(gains, reverse=True)


def test_the_floor_is_the_fixed_filter_and_the_one_that_knows_the_kernel(made):
    assert {row[0] for row in cells(floor_table(made / "results"))[1:]} == {
        "*richardson_lucy*",
        "*wiener*",
    }


def test_effects_of_the_ablation_are_differences_without_the_margin(made):
    rows = {row[0]: row[1:] for row in cells(ablation_table(made / "results"))[1:]}
    table = read_rows(made / "results" / "table4.csv")
    psnr = [row for row in table if row["metric"] == "psnr" and row["value"]]
    means = {row["row"]: float(row["value"]) for row in psnr}
    for better, worse in (("b1", "b2"), ("b6", "b1")):
        shown = float(rows[f"{better.upper()} over {worse.upper()}"][0].split()[0])
        assert shown == pytest.approx(means[better] - means[worse], abs=0.006)
    assert rows["B5 over B4"] == ["", "", "", "not measured"]


def mechanism(run: str, measure: str, part: str, value: float) -> MechanismRecord:
    return MechanismRecord(
        run=run, mechanism="m", measure=measure, part=part, value=value, ci_low=value - 0.1,
        ci_high=value + 0.1, bound=0, present="yes", n_people=20, seed=3, profile="smoke",
    )  # fmt: skip


def test_mechanisms_of_networks_with_a_prior_stream_alone(tmp_path):
    records = [
        *(mechanism("b5", "prior_cosine_gain", level, float(level) / 10) for level in "123"),
        mechanism("b5", "discriminator_auc", "", 0.9),
        mechanism("lu2019", "discriminator_auc", "", 0.8),
        mechanism("b3", "prior_cosine_gain", "1", -0.004),
    ]
    (tmp_path / "mechanisms.csv").write_text(csv_text(MechanismRecord, records))
    assert cells(mechanism_table(tmp_path))[1:] == [
        ["b3", "3", "-0.004 [-0.104, 0.096]", "", "", ""],
        [
            *("b5", "3"),
            *("0.100 [0.000, 0.200]", "0.200 [0.100, 0.300]", "0.300 [0.200, 0.400]"),
            "0.90 [0.80, 1.00]",
        ],
    ]


def test_budgets_are_one_line_each_and_of_the_means_on_mspl_center(tmp_path):
    def budget(images: int, effect: float, **changes: str) -> BudgetRecord:
        fields = {"claim": "c", "test_set": "mspl_center", "subset": "mean", "metric": "psnr",
                  "better": "b4", "worse": "b3"} | changes  # fmt: skip
        return BudgetRecord(
            **fields, images=images, effect=effect, ci_low=-1, ci_high=1, direction="open",
            trend="grows", n_people=40, seed=0, profile="smoke",
        )  # fmt: skip

    records = [budget(1500, 0.2), budget(752, 0.1), budget(752, 0.3, better="b5", worse="b4")]
    records += [budget(752, 0.15, better="b1", worse="b2")]  # of it 0.05 is the claim's margin
    records += [budget(752, 9, subset="celeba"), budget(752, 9, metric="ssim")]
    (tmp_path / "budget.csv").write_text(csv_text(BudgetRecord, records))
    assert cells(budget_table(tmp_path)) == [
        ["images", "B4 over B3", "B5 over B4", "B1 over B2"],
        ["752", "0.10 [-1.00, 1.00]", "0.30 [-1.00, 1.00]", "0.10 [-1.05, 0.95]"],
        ["1,500", "0.20 [-1.00, 1.00]", "", ""],
    ]


def test_readings_are_named_in_words_and_what_may_be_zero_is_in_brackets(tmp_path):
    def reading(
        choice: str, answer: str, effect: float, low: float = 0.1, high: float = 1, **changes: str
    ) -> ReadingRecord:
        fields = {"metric": "psnr", "better": "b4", "worse": "b3"} | changes
        return ReadingRecord(
            **fields, choice=choice, answer=answer, claim="c", effect=effect, ci_low=low,
            ci_high=high, direction="open", images=1600, n_people=120, seed=0, profile="smoke",
        )  # fmt: skip

    records = [
        reading("profile", "", 0.2),
        reading("profile", "", 9, metric="ssim"),
        reading("profile", "", 0.3, better="b6", worse="b1"),
        # This claim's effects contain 0.05 dB: B2 is 0.2 dB better here, and as good there.
        reading("profile", "", -0.15, better="b1", worse="b2", low=-0.2, high=-0.1),
        reading("unweighted-prior", "False", -0.004, low=-0.1),
        reading("unweighted-prior", "False", 0.046, better="b1", worse="b2", low=0.04, high=0.06),
    ]
    (tmp_path / "readings.csv").write_text(csv_text(ReadingRecord, records))
    assert cells(reading_table(tmp_path)) == [
        ["reading", "B4 over B3", "B6 over B1", "B1 over B2"],
        ["profile", "0.20", "0.30", "-0.20"],
        ["no prior loss in B3 to B5", "(0.00)", "", "(0.00)"],
    ]


def test_variants_have_the_recorded_training_and_where_there_are_several_their_seeds(tmp_path):
    common = {"table": "table4", "test_set": "mspl_center", "subset": "mean", "metric": "psnr",
              "convention": "psnr", "n_images": 96, "n_people": 60}  # fmt: skip

    def seed(row: str, sd: float, **changes: str) -> SeedRecord:
        return SeedRecord(
            **common | {"row": row, "run": row} | changes, value=24, ci_low=23, ci_high=25,
            seed_sd=sd, gain=2, gain_low=1, gain_high=3, gain_over="blurred", n_seeds=3,
            seeds="0 1 2", test_images="same", profile="smoke",
        )  # fmt: skip

    def gain(row: str, value: float, **changes: str) -> GainRecord:
        return GainRecord(
            **common | {"row": row, "run": row} | changes, gain=value, ci_low=1, ci_high=3,
            verdict="better", p=0, p_holm=0,
        )  # fmt: skip

    seeds = [seed("blurred", math.nan), seed("b1", 0.0214), seed("b1", 9, metric="ssim")]
    gains = [gain("wiener", 3), gain("b1", 1.9), gain("b1", 9, table="table2"), gain("b5", 2.1)]
    (tmp_path / "seeds.csv").write_text(csv_text(SeedRecord, seeds))
    (tmp_path / "gains.csv").write_text(csv_text(GainRecord, gains))
    assert cells(variant_table(tmp_path))[1:] == [
        ["B1", "1.90 [1.00, 3.00]", "2.00 [1.00, 3.00]", "3", "0.021"],
        ["B5", "2.10 [1.00, 3.00]", "", "", ""],
    ]
    (tmp_path / "seeds.csv").unlink()
    found = cells(variant_table(tmp_path))
    assert found[0] == ["PSNR over blurred, dB", "one training"]
    assert ["B5", "2.10 [1.00, 3.00]"] in found


def test_every_table_has_its_place_in_a_page():
    marks = re.findall(r"<!-- ([a-z-]+) -->", "".join((ROOT / page).read_text() for page in PAGES))
    assert set(PAGE_TABLES) <= set(marks)
