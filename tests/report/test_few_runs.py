"""A report of two runs and a submission: what needs a page of its own, made in seconds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.report.build import build_report
from dfpg.report.facts import UNKNOWN, run_facts


@pytest.fixture(scope="module")
def text(hostile: Path) -> str:
    return (hostile / "artifacts" / "report" / "report.html").read_text()


def test_without_pictures_the_page_says_so(text):
    for sentence in (
        "No pictures were made",
        "Not measured: run <code>dfpg robustness</code>",
        "not recorded",
    ):
        assert sentence in text


def test_without_an_environment_the_facts_say_so(few, tmp_path):
    found = dict(run_facts(few, tmp_path, []))
    assert {found[name] for name in ("device", "versions", "commit")} == {UNKNOWN}


def test_a_submission_has_its_row_curve_and_place_in_every_forest(text):
    assert "MyNet, its own code" in text
    assert 'id="roc-mynet' in text
    for subset in ("helen", "celeba"):
        chart = re.search(rf"table1-shen-{subset}-psnr.*?</svg>", text, re.DOTALL)
        assert chart is not None
        assert "mynet" in chart[0]


@pytest.mark.slow
def test_equal_results_give_equal_bytes(few, hostile, text):
    build_report(few, hostile / "artifacts", hostile / "results", ROOT)
    assert (hostile / "artifacts" / "report" / "report.html").read_text() == text


def test_training_times_that_an_older_run_lacks_are_asked_for(few, hostile, tmp_path):
    results = Path(shutil.copytree(hostile / "results", tmp_path / "results"))
    figures = "validation_gain,validation_gain_se,validation_unblurred_psnr"
    columns = f"run,method,protocol,steps,images,lr,{figures},profile"
    (results / "training.csv").write_text(f"{columns}\n")
    with pytest.raises(UserError, match=r"training\.csv: no column 'seconds'; run `dvc repro`"):
        build_report(few, hostile / "artifacts", results, ROOT)


def test_missing_results_are_named(few, tmp_path):
    with pytest.raises(UserError, match=r"table1.csv: cannot be read; run `dvc repro` first"):
        build_report(few, tmp_path, tmp_path, ROOT)


def test_a_missing_page_of_doubtful_points_is_named(few, hostile, tmp_path):
    with pytest.raises(UserError, match=r"restore it: git checkout -- docs/paper_errata\.md"):
        build_report(few, hostile / "artifacts", hostile / "results", tmp_path)
