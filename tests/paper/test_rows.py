from __future__ import annotations

from dfpg.core.profile import resolve_profile
from dfpg.paper.rows import (
    empty_reason,
    evaluation_protocols,
    row_fidelity,
    row_note,
    table_rows,
)
from dfpg.paper.tables import BEYOND, TABLES, Row
from dfpg.paper.weights import PUBLISHED


def test_ablations_are_scored_on_their_own_protocol_only(config):
    assert evaluation_protocols(config, "b1") == ("b",)
    assert evaluation_protocols(config, "dfpg_a") == ("a",)
    shen = {"runs": {"shen2018": config.runs["dfpg_a"]}}
    assert evaluation_protocols(config.model_copy(update=shen), "shen2018") == ("a", "b")


def test_rows_beyond_the_paper_are_there_with_and_without_their_runs():
    config = resolve_profile("paper")[0]
    none = config.model_copy(update={"runs": {}})
    for table in TABLES:
        assert table_rows(table, none) == table_rows(table, config)
    table2 = next(table for table in TABLES if table.name == "table2")
    assert [row.key for row in table_rows(table2, none)][-len(BEYOND) :] == list(BEYOND)


def test_a_row_of_published_weights_says_on_what_they_were_trained():
    config = resolve_profile("paper")[0]
    rows = {row.key: row for table in TABLES for row in table.rows}
    row = rows["zhang2019"]
    run = config.runs["zhang2019_generic"].model_copy(update={"weights": "folder"})
    taken = config.model_copy(update={"runs": {**config.runs, "zhang2019_generic": run}})
    assert row_note(row, row_fidelity(config, row)) == "trained on pictures without faces"
    assert row_note(row, row_fidelity(taken, row)) == "trained by its authors on GoPro"
    assert row_note(rows["li2020"], "official weights") == ""
    assert row_note(row, "reported only") == ""


def test_an_empty_row_says_which_file_would_fill_it(config):
    rows = {row.key: row for table in TABLES for row in table.rows}
    absent = f"not in profile {config.profile}"
    assert empty_reason(config, Row("mine", "mine")) == absent
    published = PUBLISHED["xia2019"].files
    assert empty_reason(config, rows["xia2019"]) == f"{absent}; weights: {published}"
    retrained = empty_reason(config, rows["zhang2019_retrained"])
    assert retrained == f"{absent}; weights: none published: retrained by the paper's authors"
    assert empty_reason(config, rows["shen2020"]) == rows["shen2020"].missing != ""
