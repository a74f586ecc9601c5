"""Names and notes of others reach HTML, LaTeX, Markdown and CSV as text, never as code."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from helpers.hostile_report import HOSTILE

from dfpg.analysis.tables import build_tables
from dfpg.core.csv_files import from_cell, from_csv, to_cell, to_csv
from dfpg.core.errors import UserError
from dfpg.core.markdown import escape_cell as markdown
from dfpg.report.latex import escape as latex
from dfpg.report.latex import latex_tables
from dfpg.report.table_layout import PrintedCell, PrintedPanel, PrintedRow, PrintedTable

STARTS = ["=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "'=1", "''", "'", "-", "-0.5", "+inf"]


@pytest.fixture
def folder(hostile: Path) -> Path:
    return hostile


def test_the_hostile_text_got_that_far(folder):
    """Else the tests below would show nothing."""
    assert "HYPERLINK" in (folder / "results" / "table1.csv").read_text()
    assert "HYPERLINK" in (folder / "results" / "tables.md").read_text()
    assert "HYPERLINK" in (folder / "artifacts" / "report" / "report.html").read_text()
    assert "HYPERLINK" in (folder / "artifacts" / "per_image" / "b1.csv").read_text()


def test_html_has_no_element_or_attribute_of_theirs(folder):
    text = (folder / "artifacts" / "report" / "report.html").read_text()

    class Page(HTMLParser):
        def handle_starttag(self, tag, attrs):
            assert tag not in ("script", "iframe", "object", "embed")
            for name, value in attrs:
                assert not name.startswith("on"), (tag, name)
                assert "javascript:" not in (value or "")
                assert not (value or "").startswith("http://x.example")

    Page().feed(text)


def check_latex(text: str) -> None:
    assert "\\input" not in text
    assert "\\write" not in text
    bare = re.sub(r"\\.", "", text, flags=re.DOTALL)
    assert bare.count("{") == bare.count("}")
    blocks = re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        lines = [line for line in block.splitlines() if line.endswith(r"\\")]
        spans = [
            re.sub(r"\\multicolumn\{(\d+)\}", lambda m: "&" * (int(m[1]) - 1), x) for x in lines
        ]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in spans}) == 1


def test_latex_has_no_command_of_theirs(folder):
    check_latex((folder / "results" / "tables.tex").read_text())


def test_every_text_that_a_latex_table_is_given_is_escaped():
    """Names of rows and of sources are checked before they get here: this is the second wall."""
    cell = PrintedCell(HOSTILE, HOSTILE, HOSTILE)
    row = PrintedRow(HOSTILE, HOSTILE, HOSTILE, (cell, cell))
    panel = PrintedPanel(HOSTILE, (HOSTILE, HOSTILE), (HOSTILE,), (row,))
    text = latex_tables([PrintedTable("table1", HOSTILE, (panel,), ())])
    check_latex(text)
    words = "HYPERLINK"
    assert (
        text.count(words) == 1 + 1 + 2 + 2 + 1 + 3 * 2
    )  # title, panel, groups, metrics, row, cells


def test_markdown_has_no_cell_line_or_element_of_theirs(folder):
    text = (folder / "results" / "tables.md").read_text()
    assert not re.search(r"<(script|img)", text)
    assert "](javascript" not in text
    assert "](http" not in text
    assert "\n# heading" not in text
    for part in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in part.splitlines()}
        assert len(counts) == 1


def test_csv_has_no_formula_of_theirs(folder):
    files = [path for path in folder.rglob("*.csv") if path.stat().st_size]
    assert len(files) > 20
    for path in files:
        rows = list(csv.reader(io.StringIO(path.read_text(), newline="")))
        assert len({len(row) for row in rows}) == 1, path
        for cell in (cell for row in rows for cell in row):
            if len(cell) > 1 and cell[0] in "=+-@\t\r":
                float(cell)  # a number


def test_a_submission_cannot_have_such_a_name(folder, config, tmp_path):
    name = "=cmd"
    source = folder / "submissions" / "mynet"
    target = tmp_path / name
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    card = json.loads((source / "card.json").read_text()) | {"name": name}
    (target / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match="a name has letters, digits"):
        build_tables(config, folder / "artifacts", tmp_path / "results", tmp_path)


@pytest.mark.parametrize("text", [HOSTILE, *STARTS])
def test_what_is_written_is_read_back(text, tmp_path):
    assert from_cell(to_cell(text)) == text
    frame = pd.DataFrame({"text": [text.replace("\r", " ").replace("\x00", "")], "number": [-1.5]})
    path = tmp_path / "a.csv"
    path.write_text(to_csv(frame, index=False), newline="")
    found = from_csv(pd.read_csv(path, keep_default_na=False, dtype={"text": str}))
    assert found["text"].tolist() == frame["text"].tolist()
    assert found["number"].tolist() == [-1.5]


def test_plain_words_stay_as_they_are():
    words = "MyNet, its own code [0.1, 0.2] (24.3) b1 d_vgg_authors -0.5"
    assert markdown(words) == words
    assert to_cell(words) == words
    assert latex("a b") == "a b"
