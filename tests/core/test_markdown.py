from __future__ import annotations

import pytest

from dfpg.core.markdown import markdown_table


def test_cells_are_written_as_they_are():
    lines = markdown_table(["row", "value"], [["a", "1.50"], ["b b", ""]]).splitlines()
    assert [lines[0], *lines[2:]] == ["| row | value |", "| a | 1.50 |", "| b b |  |"]


def test_it_is_a_table_to_a_markdown_reader():
    markdown = pytest.importorskip("markdown", reason="needs the extra `docs`")
    html = markdown.markdown(
        markdown_table(["row", "p|q"], [["a|b", "0012"]]), extensions=["tables"]
    )
    assert "<th>p|q</th>" in html
    assert "<td>a|b</td>" in html
    assert "<td>0012</td>" in html


def test_a_table_without_rows_has_its_head():
    assert markdown_table(["row", "value"], []).startswith("| row | value |\n|--")
