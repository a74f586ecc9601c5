from __future__ import annotations

import math

import pandas as pd
import pytest
from helpers.toy_curve import PEOPLE, write_parts
from scipy import stats

from dfpg.analysis.barriers import NOT_TESTED
from dfpg.analysis.claim_tests import Evidence, Kind, run_tests
from dfpg.analysis.robustness import curve_records, pair_curve_scores, read_curve
from dfpg.analysis.verdicts import CONSISTENT, INCONSISTENT, UNDECIDED, claim_verdict
from dfpg.core.errors import UserError
from dfpg.evaluation.per_image import read_per_image, write_per_image
from dfpg.evaluation.robustness.moves import AMOUNTS, PLAIN, STILL
from dfpg.paper.claims import CLAIMS, ROBUSTNESS
from dfpg.paper.margins import MARGINS
from dfpg.paper.tables import Cell, Column
from dfpg.report.robustness_plot import draw_robustness

FRAGILE = ("shen2018", "yasarla2020", "yasarla2020_b")


def falling(run, move):
    """3 dB above blurred; a geometric prior loses 1 dB as soon as the face moves."""
    return 3.0 - (run in FRAGILE and move != STILL)


@pytest.fixture(scope="module")
def folder(config, tmp_path_factory):
    return write_parts(config, tmp_path_factory.mktemp("parts"), falling)


@pytest.fixture(scope="module")
def records(config, folder):
    return curve_records(config, read_curve(config, folder), folder)


def one(records, run, test_set, move, metric):
    names = ("run", "test_set", "transformation", "amount", "metric")
    wanted = (run, test_set, *move, metric)
    found = [
        record for record in records if tuple(getattr(record, name) for name in names) == wanted
    ]
    assert len(found) == 1
    return found[0]


def test_every_run_has_every_amount_and_the_one_that_moves_nothing(config, records):
    for run in ("blurred", "nafnet", "dfpg_b"):
        for name, amounts in AMOUNTS.items():
            own = [
                r.amount
                for r in records
                if (r.run, r.test_set, r.transformation, r.metric)
                == (run, "mspl_center", name, "psnr")
            ]
            assert own == sorted((PLAIN[name], *amounts))
    assert {r.run for r in records} == {"blurred", *config.runs}
    assert "sharp" not in {r.run for r in records}


def test_numbers_are_those_of_a_plain_computation(folder, records):
    rows = read_per_image(folder / "shen2018.csv")
    blurred = read_per_image(folder / "baselines.csv")
    blurred = blurred[blurred["method"] == "blurred"]

    def by_person(table, mode):
        chosen = table[(table["test_set"] == "shen") & (table["mode"] == mode)]
        return chosen.set_index("person")["psnr"]

    moved, still, base = (
        by_person(table, mode)
        for table, mode in ((rows, "rotation 45"), (rows, STILL.mode), (blurred, "rotation 45"))
    )
    found = one(records, "shen2018", "shen", ("rotation", 45), "psnr")
    student = stats.t.ppf(0.975, PEOPLE - 1)
    for name, ends, values in (
        ("value", "ci", moved),
        ("gain", "gain", moved - base),
        ("change", "change", moved - still),
    ):
        half = student * values.std(ddof=1) / math.sqrt(PEOPLE)
        assert getattr(found, name) == pytest.approx(values.mean(), abs=1e-5)
        assert getattr(found, f"{ends}_low") <= values.mean() - half + 1e-5  # never nearer
        assert getattr(found, f"{ends}_high") >= values.mean() + half - 1e-5
        assert getattr(found, f"{ends}_high") - getattr(found, f"{ends}_low") < 2 * 1.6 * half
    assert (found.n_images, found.n_people) == (PEOPLE, PEOPLE)


def test_the_anchor_changes_nothing_and_blurred_gains_nothing(records):
    for record in records:
        if record.amount == PLAIN[record.transformation]:
            assert [getattr(record, f"change{end}") for end in ("", "_low", "_high")] == [0, 0, 0]
        if record.run == "blurred":
            assert record.gain == 0


def test_a_record_says_what_it_is_of(config, records):
    found = one(records, "nafnet", "mspl_center", ("scale", 0.75), "ssim")
    expected = {
        "unit": "factor",
        "convention": "ssim_matlab_rgb",
        "mirrored_pct": 25.0,
        "method": "nafnet",
        "trained_on": "b",
        "weights": "abababababab",
        "device": "cpu",
        "seed": config.seed,
        "profile": config.profile,
    }
    assert {name: getattr(found, name) for name in expected} == expected


def test_a_run_without_a_part_is_left_out(config, tmp_path):
    folder = write_parts(config, tmp_path / "parts", falling, ["nafnet"])
    records = curve_records(config, read_curve(config, folder), folder)
    assert {record.run for record in records} == {"blurred", "nafnet"}


def test_bad_parts_get_one_line(config, tmp_path):
    with pytest.raises(UserError, match="no robustness scores; run `dfpg robustness` first"):
        read_curve(config, tmp_path)
    parts = write_parts(config, tmp_path / "parts", falling, ["nafnet", "xia2019"])
    rows = read_per_image(parts / "nafnet.csv")
    write_per_image(rows[rows["person"] != "b3"], parts / "nafnet.csv")
    with pytest.raises(UserError, match="not of the same images and moves: delete the folder"):
        read_curve(config, parts)
    write_per_image(pd.concat([rows, rows]), parts / "nafnet.csv")
    with pytest.raises(UserError, match="its image is there twice"):
        read_curve(config, parts)
    write_per_image(rows, parts / "nafnet.csv")
    (parts / "xia2019.json").write_text("[]")
    with pytest.raises(UserError, match=r"xia2019\.json: no readable card"):
        curve_records(config, read_curve(config, parts), parts)


def claim():
    return next(claim for claim in CLAIMS if claim.key == "misalignment-curve")


def verdict(config, folder):
    cells = pair_curve_scores(config, read_curve(config, folder))
    evidence = Evidence(cells, spreads={Kind(metric, False): 0.0 for metric in MARGINS})
    return claim_verdict(claim(), run_tests(config, evidence, claim().comparisons))


def test_the_claim_holds_where_geometric_priors_lose_more(config, folder):
    assert verdict(config, folder) == (CONSISTENT, "18 of 18 comparisons hold")


def test_the_claim_fails_where_dfpgnet_loses_more(config, tmp_path):
    parts = write_parts(
        config, tmp_path, lambda run, move: 3.0 - (run.startswith("dfpg") and move != STILL)
    )
    assert verdict(config, parts) == (INCONSISTENT, "18 of 18 comparisons reversed")


def test_being_better_everywhere_is_not_being_more_robust(config, tmp_path):
    parts = write_parts(config, tmp_path, lambda run, _: 3.0 + 2 * run.startswith("dfpg"))
    assert verdict(config, parts)[0] == UNDECIDED


def test_without_scores_the_claim_says_what_to_run(config, tmp_path):
    outcomes = run_tests(config, Evidence({}), claim().comparisons)
    expected = "18 of 18 comparisons: run `dfpg robustness`"
    assert claim_verdict(claim(), outcomes) == (NOT_TESTED, expected)
    parts = write_parts(config, tmp_path, falling, ["dfpg_a", "shen2018"])
    kind, reason = verdict(config, parts)
    assert kind == NOT_TESTED
    assert "no scores of yasarla2020" in reason


def test_the_effect_is_the_mean_change_over_the_amounts(config, folder):
    """Per person: (DFPG moved - DFPG still) - (Shen moved - Shen still), the textbook t-test."""
    changes = []
    for run in ("dfpg_a", "shen2018"):
        rows = read_per_image(folder / f"{run}.csv")
        table = rows[rows["test_set"] == "shen"].pivot(
            index="person", columns="mode", values="psnr"
        )
        turns = [f"rotation {amount:g}" for amount in AMOUNTS["rotation"]]
        changes.append(table[turns].mean(axis=1) - table[STILL.mode])
    comparison = next(
        c
        for c in claim().comparisons
        if (c.cell, c.worse) == (Cell(ROBUSTNESS, Column("shen", "rotation"), "psnr"), "shen2018")
    )
    cells = pair_curve_scores(config, read_curve(config, folder))
    found = run_tests(config, Evidence(cells), [comparison])[0]
    expected = stats.ttest_rel(*changes)
    assert found.effect == pytest.approx((changes[0] - changes[1]).mean())
    assert 0 < found.t <= expected.statistic  # the bootstrap's quantile is no nearer than Student's
    assert expected.pvalue <= found.p < 0.01


def test_pairs_of_the_claim_were_trained_on_the_same_views(config):
    for comparison in claim().comparisons:
        better, worse = (config.runs[name] for name in (comparison.better, comparison.worse))
        assert better.protocol == worse.protocol
        assert comparison.cell.column.test_set == {"a": "shen", "b": "mspl_center"}[better.protocol]


def test_the_figure_is_the_same_every_time_and_shows_the_records(config, records, tmp_path):
    few = [record for record in records if record.run in ("blurred", "dfpg_a", "nafnet")]
    draw_robustness(config, few, tmp_path / "one.png")
    draw_robustness(config, few, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    fewer = [record for record in few if record.run != "nafnet"]
    draw_robustness(config, fewer, tmp_path / "fewer.png")
    assert (tmp_path / "fewer.png").read_bytes() != (tmp_path / "one.png").read_bytes()
