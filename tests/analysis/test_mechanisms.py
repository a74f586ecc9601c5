from __future__ import annotations

import math

import pytest

from dfpg.analysis.mechanisms import NO, YES, absent_mechanisms, mechanism_records
from dfpg.paper.claims import CLAIMS

HEAD = (
    "step,validation_people,discriminator_auc,discriminator_auc_se,"
    "mechanism.prior_cosine_gain.1,mechanism_se.prior_cosine_gain.1,"
    "mechanism.prior_cosine_gain.2,mechanism_se.prior_cosine_gain.2,"
    "mechanism.attention_stability.1,"
    "share.pixel.encoder,share.adversarial.encoder,share.adversarial.prior"
)
EARLY = "2,20,0.99,0.01,9,0.1,9,0.1,0.5,0.5,0.5,0.5"
LATE = "4,20,0.55,0.05,0.2,0.05,0.1,0.01,0.9,0.9,0,0.2"


def records(config, folder, *lines):
    (folder / "b5.csv").write_text("\n".join([HEAD, *lines]) + "\n")
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
