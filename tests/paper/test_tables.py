from __future__ import annotations

from dfpg.core.profile import resolve_profile
from dfpg.paper.published import published_values
from dfpg.paper.tables import (
    BEYOND,
    HEADINGS,
    HIGHER_IS_BETTER,
    SUBSET_TITLES,
    TABLES,
    TEST_SETS,
    Row,
    evaluation_protocols,
    fidelity,
    note,
    table_rows,
)
from dfpg.paper.weights import PUBLISHED


def test_ablations_are_scored_on_their_own_protocol_only(config):
    assert evaluation_protocols(config, "b1") == ("b",)
    assert evaluation_protocols(config, "dfpg_a") == ("a",)
    shen = {"runs": {"shen2018": config.runs["dfpg_a"]}}
    assert evaluation_protocols(config.model_copy(update=shen), "shen2018") == ("a", "b")


def test_layout_names_every_printed_figure_of_its_tables():
    for table in TABLES:
        slot_labels = {
            (row.key, *column, metric)
            for row in table.rows
            for column in table.columns
            for metric in table.conventions
        }
        assert {
            tuple(key)[1:] for key in published_values() if key.table == table.name
        } <= slot_labels


def test_every_column_and_metric_has_a_heading_and_an_arrow():
    for table in TABLES:
        for column in table.columns:
            assert column.test_set in TEST_SETS
            assert column.subset in SUBSET_TITLES
        for metric in table.conventions:
            assert HEADINGS[metric].endswith("↑" if HIGHER_IS_BETTER[metric] else "↓")


def test_rows_beyond_the_paper_are_there_with_and_without_their_runs():
    config = resolve_profile("paper")[0]
    none = config.model_copy(update={"runs": {}})
    for table in TABLES:
        assert table_rows(table, none) == table_rows(table, config)
    table2 = next(table for table in TABLES if table.name == "table2")
    assert [row.key for row in table_rows(table2, none)][-len(BEYOND) :] == list(BEYOND)


def test_an_empty_row_says_which_file_would_fill_it():
    rows = {row.key: row for table in TABLES for row in table.rows}
    assert rows["xia2019"].missing == f"not run; weights: {PUBLISHED['xia2019'].files}"
    assert rows["zhang2019_retrained"].missing.endswith("retrained by the paper's authors")
    assert rows["shen2020"].missing.startswith("reported only")
    assert Row("mine", "mine").missing == "not run"


def test_a_row_of_published_weights_says_on_what_they_were_trained():
    config = resolve_profile("paper")[0]
    rows = {row.key: row for table in TABLES for row in table.rows}
    row = rows["zhang2019"]
    run = config.runs["zhang2019_generic"].model_copy(update={"weights": "folder"})
    taken = config.model_copy(update={"runs": {**config.runs, "zhang2019_generic": run}})
    assert note(row, fidelity(config, row)) == "trained on pictures without faces"
    assert note(row, fidelity(taken, row)) == "trained by its authors on GoPro"
    assert note(rows["li2020"], "official weights") == ""
    assert note(row, "reported only") == ""
