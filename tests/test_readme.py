"""The pages show what is committed under results/, not something typed by hand."""

from __future__ import annotations

import re

import pytest
from helpers.csv_files import read_rows
from helpers.places import ROOT

from dfpg.analysis.verdicts import VERDICTS
from dfpg.cli import app
from dfpg.report.page_tables import PAGES, fill


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_tables_in_a_page_are_the_committed_ones(page):
    text = (ROOT / page).read_text()
    assert fill(text, ROOT / "results") == text, "run `dfpg record pages`"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_verdict_in_a_sentence_is_the_recorded_one(page):
    recorded = {row["claim"]: row["verdict"] for row in read_rows(ROOT / "results" / "claims.csv")}
    words = "|".join(sorted(VERDICTS, key=len, reverse=True))
    text = (ROOT / page).read_text()
    said = re.findall(rf"`([a-z-]+)`\)?,? (?:and `[a-z-]+` )?(?:is|are) \**({words})", text)
    assert said or page.name not in ("README.md", "claims.md")
    assert [(key, verdict) for key, verdict in said if recorded[key] != verdict] == []


def test_the_ablation_of_every_published_record_is_in_the_page_of_other_records():
    page = (ROOT / "docs" / "other_records.md").read_text()
    records = {file.parent.name for file in (ROOT / "results").glob("*/claim_tests.csv")}
    assert records == set(re.findall(r"<!-- ablation of ([a-z0-9_-]+) -->\n\| ", page))


def test_every_link_leads_to_a_file():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_page_of_commands_has_every_one() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    assert known - set(re.findall(r"`dfpg ([a-z-]+)", page)) == set()


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_every_command_shown_exists(page):
    known = {command.name or command.callback.__name__ for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    shown = set(re.findall(r"`dfpg ([a-z-]+)", (ROOT / page).read_text()))
    assert shown <= known
