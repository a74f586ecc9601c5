from __future__ import annotations

import re

import pytest
from helpers.csv_files import read_rows

from dfpg.analysis.main_table import MainRecord
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import ClaimRecord
from dfpg.analysis.verdicts import VERDICTS
from dfpg.report.answers import answers, main_tables, scope, summary


@pytest.fixture(scope="module")
def claims(made) -> list[ClaimRecord]:
    return read_records(ClaimRecord, made / "results" / "claims.csv")


def with_verdicts(claims: list[ClaimRecord], *verdicts: str) -> list[ClaimRecord]:
    return [
        claim.model_copy(update={"verdict": verdict})
        for claim, verdict in zip(claims, verdicts, strict=False)
    ]


def test_every_claim_has_one_answer_whatever_its_verdict(claims):
    chosen = with_verdicts(claims, *VERDICTS, "a verdict of a later version")
    found = answers(chosen)
    assert sorted(c.claim for a in found for c in a.claims) == sorted(c.claim for c in chosen)
    assert [len(answer.claims) for answer in found] == [2, 2, 1, 1, 2]


def test_the_summary_counts_in_words_that_fit_the_number(claims):
    chosen = with_verdicts(claims, "supported", "refuted", "refuted", "not tested")
    assert summary(chosen) == (
        "Of 4 claims of the paper, 1 holds here, 2 do not hold here and 1 was not tested."
    )
    assert summary(chosen[:1]) == "Of 1 claims of the paper, 1 holds here."


def test_the_open_answers_have_the_words_of_the_verdicts_in_the_files(claims):
    chosen = with_verdicts(claims, "undecided", "undecided", "too small to matter", "not tested")
    assert [answer.title.lower() for answer in answers(chosen)] == [
        "too small to matter",
        "undecided",
        "not tested",
    ]
    assert "2 are undecided" in summary(chosen)


def test_what_the_paper_did_not_use_is_said(config):
    found = scope(config, [3200, 12800])
    assert found.startswith(f"Measured on faces of {config.image_size} px")
    assert "embedded (generated people)" in found
    assert "3,200 to 12,800 images" in found
    assert "The paper used photographs of 128 px" in found


def test_the_main_tables_are_sorted_and_mark_floor_ceiling_and_input(made):
    records = read_records(MainRecord, made / "results" / "main.csv")
    tables = main_tables(records)
    assert [heading.split(":")[0] for heading in tables] == [
        "Shen test set",
        "MSPL-Center",
        "MSPL-Random",
    ]
    for lines in tables.values():
        gains = [float(line.gain.replace("\N{MINUS SIGN}", "-")) for line in lines]
        assert gains == sorted(gains, reverse=True)
        roles = {line.role: line for line in lines if line.role}
        assert {role: line.row for role, line in roles.items()} == {
            "ceiling": "wiener",
            "floor": "richardson_lucy",
            "input": "blurred",
        }
        assert not roles["input"].interval
        assert any(line.own for line in lines)


def test_a_gain_is_the_mean_over_the_subsets_of_the_table(made):
    gains = {
        row["subset"]: float(row["gain"])
        for row in read_rows(made / "results" / "gains.csv")
        if (row["table"], row["row"], row["metric"]) == ("table1", "dfpg_a", "psnr")
    }
    main = next(r for r in read_rows(made / "results" / "main.csv") if r["row"] == "dfpg_a")
    assert float(main["gain"]) == pytest.approx(sum(gains.values()) / len(gains), abs=1e-5)


def test_the_page_answers_first_and_ends_with_hashes(page):
    text = page.read_text()
    body = text[text.index("<body>") :]
    places = [
        body.index(part)
        for part in ('class="lead"', 'id="claims"', 'id="main"', "<svg", 'id="run"', "SHA-256")
    ]
    assert places == sorted(places)
    assert re.search(r'<tr class="r-ceiling"><th scope="row">wiener', body)
    assert re.search(r'<tr class="r-floor"><th scope="row">richardson_<wbr>lucy', body)
