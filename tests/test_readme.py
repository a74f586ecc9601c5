"""The README shows what is committed under results/, not something typed by hand."""

from __future__ import annotations

import re

import pytest
from helpers.places import ROOT

from dfpg.cli import app
from dfpg.report.markdown import render_claims

README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    return README.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0].strip()


def test_claims_in_the_readme_are_the_committed_ones():
    assert block("claims") == render_claims(ROOT / "results").strip()


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
