from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dfpg.analysis.mechanisms import (
    NO,
    YES,
    absent_mechanisms,
    idle_trainings,
    mechanism_records,
)
from dfpg.analysis.seed_folders import SeedFolder
from dfpg.paper.claims import CLAIMS
from dfpg.paper.mechanisms import presuppose

HEAD = (
    "step,validation_people,discriminator_auc,discriminator_auc_se,"
    "mechanism.prior_cosine_gain.1,mechanism_se.prior_cosine_gain.1,"
    "mechanism.prior_cosine_gain.2,mechanism_se.prior_cosine_gain.2,"
    "mechanism.attention_stability.1,"
    "share.pixel.encoder,share.adversarial.encoder,share.adversarial.prior"
)
EARLY = "2,20,0.99,0.01,9,0.1,9,0.1,0.5,0.5,0.5,0.5"
LATE = "4,20,0.55,0.05,0.2,0.05,0.1,0.01,0.9,0.9,0,0.2"


def write(folder, *lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "b5.csv").write_text("\n".join([HEAD, *lines]) + "\n")


def records(config, folder, *lines):
    write(folder, *lines)
    return mechanism_records(config, folder)


def test_the_last_validation_is_judged_by_its_interval(config, tmp_path):
    found = {(r.measure, r.part): r for r in records(config, tmp_path, EARLY, LATE)}
    auc = found["discriminator_auc", ""]
    assert auc.value == 0.55
    assert auc.ci_low == pytest.approx(0.55 - 2.093 * 0.05, abs=1e-4)  # t, 19 degrees of freedom
    assert (auc.bound, auc.present, auc.n_people) == (0.5, NO, 20)
    assert found["prior_cosine_gain", "1"].present == YES
    assert found["prior_cosine_gain", "2"].present == YES


def test_a_loss_term_counts_where_it_has_most_of_the_gradient(config, tmp_path):
    found = {(r.measure, r.part): r for r in records(config, tmp_path, LATE)}
    share = found["gradient_share", "adversarial"]
    assert (share.value, share.present) == (0.2, YES)
    assert math.isnan(share.ci_low)


def test_what_no_claim_rests_on_is_recorded_without_a_judgement(config, tmp_path):
    found = {(r.measure, r.part): r for r in records(config, tmp_path, LATE)}
    stability = found["attention_stability", "1"]
    assert (stability.mechanism, stability.present) == ("", "")


def test_no_interval_goes_beyond_what_a_measure_can_be(config, tmp_path):
    near = LATE.replace("0.55,0.05", "0.99,0.05")
    found = {(r.measure, r.part): r for r in records(config, tmp_path, near)}
    assert found["discriminator_auc", ""].ci_high == 1


def test_a_measure_without_a_standard_error_shows_nothing(config, tmp_path):
    bare = LATE.replace("0.2,0.05", "0.2,")
    found = {(r.measure, r.part): r for r in records(config, tmp_path, bare)}
    assert found["prior_cosine_gain", "1"].present == NO


def test_every_training_is_judged_by_itself(config, tmp_path):
    write(tmp_path / "1" / "history", EARLY, LATE.replace("0.2,0.05", "0.1,0.05"))
    seeds = [SeedFolder(seed, config, tmp_path / f"{seed}") for seed in (1, 2)]  # 2: not trained
    write(tmp_path, LATE)
    found = mechanism_records(config, tmp_path, seeds)
    first = [
        (r.seed, r.value, r.present)
        for r in found
        if (r.measure, r.part) == ("prior_cosine_gain", "1")
    ]
    assert first == [(0, 0.2, YES), (1, 0.1, NO)]


def test_a_seed_counts_for_the_runs_that_it_set_alike(config, tmp_path):
    write(tmp_path / "1" / "history", LATE)
    other = config.model_copy(update={"runs": {"b4": config.runs["b4"]}})
    write(tmp_path, LATE)
    found = mechanism_records(config, tmp_path, [SeedFolder(1, other, tmp_path / "1")])
    assert {record.seed for record in found} == {0}


def test_a_claim_leaves_out_the_trainings_that_do_not_show_what_it_presupposes(config, tmp_path):
    """D is above chance in seed 1 alone; seed 2 has no history."""
    claim = next(claim for claim in CLAIMS if claim.key == "ablation-order")
    write(tmp_path / "1" / "history", LATE.replace("0.55,0.05", "0.99,0.001"))
    write(tmp_path, LATE)
    found = mechanism_records(config, tmp_path, [SeedFolder(1, config, tmp_path / "1")])
    shown = [record for record in found if record.mechanism == "discriminator"]
    only = replace(claim, presupposes=presuppose("b5", "discriminator"))
    assert idle_trainings(only, shown, [0, 1, 2]) == {"b5": {0, 2}}
    assert absent_mechanisms(only, shown) == []
    both = replace(claim, presupposes=presuppose("b5", "discriminator", "prior-transforms"))
    assert idle_trainings(both, shown, [0, 1, 2]) == {"b5": {0, 1, 2}}


def test_what_no_training_shows_is_said_with_their_number(config, tmp_path):
    claim = next(claim for claim in CLAIMS if claim.key == "ablation-order")
    for place in (tmp_path / "1" / "history", tmp_path):
        write(place, LATE)
    found = mechanism_records(config, tmp_path, [SeedFolder(1, config, tmp_path / "1")])
    lines = absent_mechanisms(replace(claim, presupposes=presuppose("b5", "discriminator")), found)
    assert len(lines) == 1
    assert "b5: 0.55 [0.45, 0.65], nor in 1 other training)" in lines[0]


def test_a_claim_names_what_is_absent_and_what_was_not_measured(config, tmp_path):
    claim = next(claim for claim in CLAIMS if claim.key == "ablation-order")
    lines = absent_mechanisms(claim, records(config, tmp_path, LATE))
    assert (
        "no evidence that the discriminator can tell the sharp face's features from the predicted "
        "ones (discriminator_auc must be above 0.5, interval included; b5: 0.55 [0.45, 0.65]; "
        "dfpg_b: not measured)" in lines
    )
    closer = next(line for line in lines if "the prior stream's prediction is closer" in line)
    assert "b4: not measured" in closer
    assert "b5" not in closer
