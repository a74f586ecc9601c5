from __future__ import annotations

import csv

import numpy as np
import pytest
from helpers.toy_scores import few_runs, write_artifacts

from dfpg.analysis.agreement import (
    describe_agreement,
    recognition_agreement,
    restrict_observations,
    restrict_scores,
    score_agreement,
)
from dfpg.analysis.estimates import load_scores
from dfpg.analysis.floor import Floor
from dfpg.analysis.observations import load_observations
from dfpg.analysis.records import csv_text
from dfpg.analysis.tables import estimate_columns, table_records
from dfpg.analysis.tolerances import DETECTION_SHARE, DISTANCE, IMAGE
from dfpg.core.errors import UserError
from dfpg.paper.tables import TABLES

TABLE1, TABLE3 = TABLES[0], TABLES[2]


@pytest.fixture(scope="module")
def config(config):
    return few_runs(config, "dfpg_a", "shen2018", "lu2019")


@pytest.fixture(scope="module")
def artifacts(config, tmp_path_factory):
    return write_artifacts(config, tmp_path_factory.mktemp("agreement"))


@pytest.fixture(scope="module")
def scores(config, artifacts):
    return load_scores(config, artifacts / "per_image")


@pytest.fixture(scope="module")
def observations(config, artifacts):
    return load_observations(config, artifacts)


def agreement(config, scores, here, observations):
    values = tuple(
        table_records(
            config, TABLE1, estimate_columns(config, TABLE1, side, observations), Floor({}), {}
        )
        for side in (scores, here)
    )
    return score_agreement(config, TABLE1, (scores, here), values)


def moved(scores, run, column, by, images=1):
    here = scores.copy()
    rows = here.index[(here["method"] == run) & (here["test_set"] == "shen")][:images]
    here.loc[rows, column] += by
    return here


def test_equal_scores_agree_to_the_last_image(config, scores, observations):
    records = agreement(config, scores, scores, observations)
    assert len(records) == len({r.row for r in records}) * len(TABLE1.conventions) > 20
    assert all(r.agrees and r.largest == 0 and r.images == 40 for r in records)
    assert "yes" in describe_agreement(TABLE1, records)


@pytest.mark.parametrize("metric", ["psnr", "ssim", "lpips", "d_vgg"])
def test_one_image_beyond_the_tolerance_is_found(config, scores, observations, metric):
    column = TABLE1.conventions[metric]
    first = scores[(scores["method"] == "dfpg_a") & (scores["test_set"] == "shen")][column].iloc[0]
    unit = first if metric == "d_vgg" else 1.0
    within = moved(scores, "dfpg_a", column, 0.9 * IMAGE[metric] * unit)
    beyond = moved(scores, "dfpg_a", column, 1.1 * IMAGE[metric] * unit)
    assert all(r.agrees for r in agreement(config, scores, within, observations))
    bad = [r for r in agreement(config, scores, beyond, observations) if not r.agrees]
    assert [(r.run, r.metric, r.outside) for r in bad] == [("dfpg_a", metric, 1)]
    assert bad[0].largest == pytest.approx(1.1 * IMAGE[metric], rel=1e-3)
    assert f"{metric}: 1 of 40 images differ" in describe_agreement(TABLE1, bad)


def test_errors_that_cancel_in_the_mean_are_found(config, scores, observations):
    here = moved(scores, "dfpg_a", "psnr", 1.0)
    rows = here.index[(here["method"] == "dfpg_a") & (here["test_set"] == "shen")]
    here.loc[rows[1], "psnr"] -= 1.0
    bad = [r for r in agreement(config, scores, here, observations) if not r.agrees]
    assert [r.outside for r in bad] == [2]
    assert bad[0].recorded == pytest.approx(bad[0].here, abs=1e-9)


def test_a_perfect_image_on_one_side_differs(config, scores, observations):
    here = moved(scores, "dfpg_a", "psnr", np.inf)
    bad = [r for r in agreement(config, scores, here, observations) if not r.agrees]
    assert [(r.metric, r.outside) for r in bad] == [("psnr", 1)]


def test_other_images_are_refused(config, scores, observations):
    here = scores.copy()
    here.loc[here.index[(here["method"] == "dfpg_a")][0], "kernel"] += 1
    with pytest.raises(UserError, match="not those of the other runs"):
        agreement(config, scores, here, observations)


def test_a_part_is_compared_with_the_same_part(config, scores, observations):
    images = {"a": [0, 5, 21], "b": [1]}
    part = restrict_scores(scores, images)
    assert set(part["image"][part["test_set"] == "shen"]) == {0, 5, 21}
    assert {r.images for r in agreement(config, part, part, observations)} == {3}


def recognition(config, scores, one, two):
    estimates = estimate_columns(config, TABLE3, scores, one)
    values = table_records(config, TABLE3, estimates, Floor({}), {})
    return recognition_agreement(config, TABLE3, (one, two), (values, values))


def change(observations, run, column, rows, value):
    part = observations.rows[run].copy()
    part.loc[part.index[rows], column] = value
    return type(observations)(
        observations.rows | {run: part}, observations.groups, observations.folds
    )


def test_detectors_may_flip_few_faces(config, scores, observations):
    assert all(r.agrees for r in recognition(config, scores, observations, observations))
    count = len(observations.rows["dfpg_a"])
    allowed = max(1, round(DETECTION_SHARE * count + 0.49))
    found = observations.rows["dfpg_a"]["dlib_hog_score"].notna().to_numpy().nonzero()[0]
    for flips, agree in ((allowed, True), (allowed + 1, False)):
        here = change(observations, "dfpg_a", "dlib_hog_score", found[:flips], np.nan)
        (record,) = [
            r
            for r in recognition(config, scores, observations, here)
            if (r.run, r.metric) == ("dfpg_a", "detection_pct")
        ]
        assert (record.outside, record.agrees) == (flips, agree)


def test_distances_to_the_reference_are_compared(config, scores, observations):
    value = observations.rows["dfpg_a"]["detected_negative"].dropna()
    rows = value.index[:5].to_numpy()
    here = change(observations, "dfpg_a", "detected_negative", rows, value[rows] + 1.5 * DISTANCE)
    bad = [r for r in recognition(config, scores, observations, here) if not r.agrees]
    assert {(r.run, r.metric, r.outside) for r in bad} == {
        ("dfpg_a", "verification_acc_pct", 5),
        ("dfpg_a", "verification_strict_acc_pct", 5),
    }


def test_observations_of_other_images_are_refused(config, scores, observations):
    some = observations.rows["sharp"]["image"].tolist()[:-1]
    with pytest.raises(UserError, match="seen in other images"):
        recognition(config, scores, observations, restrict_observations(observations, some))


def test_agreement_is_written_with_its_numbers(config, scores, observations):
    records = agreement(config, scores, scores, observations)
    header, *lines = csv_text(type(records[0]), records).splitlines()
    found = next(csv.DictReader([header, *lines]))
    assert (found["images"], found["outside"]) == ("40", "0")
