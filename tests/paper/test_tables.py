from __future__ import annotations

from dfpg.paper.published import published_values
from dfpg.paper.tables import HEADINGS, HIGHER_IS_BETTER, SUBSET_TITLES, TABLES, TEST_SETS


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
