from __future__ import annotations

import math
import shutil

import pandas as pd
import pytest
from helpers.csv_files import read_rows

from dfpg.analysis.barriers import NOT_MEASURED, NOT_TESTED, UNDER_FLOOR
from dfpg.analysis.claim_tests import HOLDS, NOT_SEEN, REVERSED
from dfpg.analysis.comparability import MATCHES
from dfpg.analysis.floor import NOT_ABOVE
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import TableRecord
from dfpg.core.errors import UserError
from dfpg.core.markdown import escape_cell
from dfpg.paper.tables import TABLES
from dfpg.report.markdown import (
    INCOMPARABLE,
    bracketed,
    render_claims,
    render_table,
    render_tables,
    show_tables,
)
from dfpg.report.table_layout import BELOW_FLOOR

SECONDS = {"b4": 1234.5}


def rendered(made, name, seconds=SECONDS):
    table = next(table for table in TABLES if table.name == name)
    records = read_records(TableRecord, made / "results" / f"{name}.csv")
    return render_table(table, records, seconds)


def test_a_cell_has_value_interval_and_published_value(made):
    row = next(
        row
        for row in read_rows(made / "results" / "table4.csv")
        if (row["row"], row["metric"]) == ("b6", "psnr")
    )
    low, high = float(row["ci_low"]), float(row["ci_high"])
    text = rendered(made, "table4")
    assert f"{float(row['value']):.2f} [{low:.2f}, {high:.2f}] (29.27)" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + 12


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((1.234, 1.0, 1.5), "1.23 [1.00, 1.50]"),
        ((-0.001, -0.004, 0.1), "0.00 [0.00, 0.10]"),
        ((1.234, math.nan, math.nan), "1.23"),
        ((math.nan, math.nan, math.nan), ""),
    ],
)
def test_a_value_stands_before_its_interval(numbers, text):
    assert bracketed(*numbers) == text


def claim_lines(results):
    lines = render_claims(results).splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_every_claim_has_its_verdict_and_its_counts(made):
    lines = claim_lines(made / "results")
    rows = read_rows(made / "results" / "claims.csv")
    effects = read_rows(made / "results" / "claim_tests.csv")
    assert len(lines) == len(rows)
    for (key, meaning, verdict, *numbers, remark), row in zip(lines, rows, strict=True):
        assert key == f"`{row['claim']}`"
        assert (meaning, verdict) == (escape_cell(row["meaning"]), row["verdict"])
        own = [test for test in effects if test["claim"] == row["claim"]]
        kinds = [test["outcome"] for test in own]
        its_way = [test for test in own if test["effect"] and float(test["effect"]) > 0]
        barred = kinds.count(NOT_TESTED) + kinds.count(NOT_MEASURED)
        wanted = (len(own), len(its_way), kinds.count(HOLDS), kinds.count(REVERSED), barred)
        assert numbers == ([f"{number}" for number in wanted] if own else [""] * 5)
        assert remark.startswith("barred: ") == bool(barred)
        assert own or remark == row["reason"]


def test_a_remark_says_what_barred_comparisons_and_how_other_readings_fare(made, tmp_path):
    for name in ("claims.csv", "claim_tests.csv"):
        shutil.copy(made / "results" / name, tmp_path)
    sheet = tmp_path / "claim_tests.csv"
    tests = pd.read_csv(sheet, keep_default_na=False)
    own = tests["claim"] == "prior-helps"
    tests.loc[own, "outcome"] = NOT_TESTED
    tests.loc[own, "reason"] = [
        NOT_SEEN.format("b1"),
        NOT_SEEN.format("b6 and b1"),
        UNDER_FLOOR.format("b6"),
        "b6 was trained on 2 images, b2 on 3",
    ]
    tests.to_csv(sheet, index=False)
    sheet = tmp_path / "claims.csv"
    claims = pd.read_csv(sheet, keep_default_na=False)
    claims.loc[claims["claim"] == "prior-helps", "readings"] = "right in 3 of 13 readings"
    claims.to_csv(sheet, index=False)
    remarks = {line[0]: line[-1] for line in claim_lines(tmp_path)}
    assert remarks["`prior-helps`"] == (
        "barred: a mechanism is not seen (2), a row is under the floor (1), "
        "b6 was trained on 2 images, b2 on 3 (1); right in 3 of 13 readings"
    )


def test_a_row_without_values_gives_its_reason_and_a_column_group_its_source(made):
    text = rendered(made, "table1")
    assert "| shen2020 | - (" in text
    assert "reported only: no code or images exist |" in text
    assert text.count("embedded (generated people)") == 2


def test_a_trained_row_says_on_how_many_images_and_for_how_long(made, config):
    images = config.runs["b4"].images
    assert f"| {images:,} images, 1234 s |" in rendered(made, "table4")
    assert f"| {images:,} images |" in rendered(made, "table4", {})


def test_rates_are_shown_in_percent(made):
    text = rendered(made, "table3")
    assert "| blurred | 70.00 [" in text
    assert "] (77.40)" in text


def test_notes_of_approximations_are_shown(made):
    assert "trained on its own degradation, without motion blur" in rendered(made, "table1")


def test_the_tables_of_a_folder_are_shown_one_after_another(made):
    tables = render_tables(made / "results")
    assert list(tables) == [table.name for table in TABLES]
    claims = render_claims(made / "results")
    assert show_tables(made / "results") == "\n\n".join([claims, *tables.values()])
    assert " images, 12 s |" in tables["table4"]  # b1, from training.csv


def test_without_results_one_line_says_so(tmp_path):
    with pytest.raises(UserError, match=r"claims\.csv: cannot be read; run `dvc repro` first"):
        show_tables(tmp_path)


def test_a_cell_that_does_not_beat_the_fixed_filter_is_marked(made):
    table = next(table for table in TABLES if table.name == "table4")
    records = read_records(TableRecord, made / "results" / "table4.csv")
    assert BELOW_FLOOR not in render_table(table, records, {})
    weak = [
        record.model_copy(update={"floor": NOT_ABOVE}) if record.row == "b3" else record
        for record in records
    ]
    text = render_table(table, weak, {})
    assert text.count(BELOW_FLOOR) == 1 + len(table.conventions)
    assert "richardson_lucy" in text.split(BELOW_FLOOR)[1]


def test_a_rate_is_marked_by_the_psnr_of_its_images(made):
    table = next(table for table in TABLES if table.recognition)
    records = read_records(TableRecord, made / "results" / f"{table.name}.csv")
    weak = [record.model_copy(update={"floor": NOT_ABOVE}) for record in records]
    assert f"{BELOW_FLOOR}: in PSNR, does not beat" in render_table(table, weak, {})


def test_a_table_without_a_comparable_value_says_so_once(made):
    table = next(table for table in TABLES if table.name == "table4")
    records = read_records(TableRecord, made / "results" / "table4.csv")
    assert render_table(table, records, {}).count(INCOMPARABLE) == 1
    printed = next(number for number, record in enumerate(records) if record.published)
    records[printed] = records[printed].model_copy(update={"verdict": MATCHES})
    assert INCOMPARABLE not in render_table(table, records, {})
    unprinted = [record.model_copy(update={"published": ""}) for record in records]
    assert INCOMPARABLE not in render_table(table, unprinted, {})
