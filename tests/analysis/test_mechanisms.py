from __future__ import annotations

import math

import pytest

from dfpg.analysis.mechanisms import NO, YES, absent_mechanisms, mechanism_records
from dfpg.analysis.seed_folders import SeedFolder
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


def test_several_seeds_are_judged_by_their_mean_over_people_and_seeds(config, tmp_path):
    """Levels 1: 0.2, 0.2, 0.5, of standard error 0.05 each; level 2: 0.1 thrice, of 0.01."""
    write(tmp_path / "1" / "history", LATE)
    write(tmp_path / "2" / "history", EARLY, LATE.replace("0.2,0.05", "0.5,0.05"))
    seeds = [SeedFolder(config, tmp_path / name) for name in ("1", "2", "3")]  # 3: not trained
    write(tmp_path, LATE)
    found = {(r.measure, r.part): r for r in mechanism_records(config, tmp_path, seeds)}
    moved, steady = (found["prior_cosine_gain", level] for level in "12")
    assert (moved.value, moved.n_seeds, moved.n_people) == (pytest.approx(0.3), 3, 20)
    people, over_seeds = 2.093 * 0.05, 4.303 * math.sqrt(0.03) / math.sqrt(3)
    assert moved.ci_low == pytest.approx(0.3 - math.hypot(people, over_seeds), abs=1e-3)
    assert moved.present == NO  # though each seed alone is above the bound
    # Seeds that agree do not make up for people: all are validated on the same.
    assert steady.ci_low == pytest.approx(0.1 - 2.093 * 0.01, abs=1e-4)
    assert steady.present == YES
    assert found["gradient_share", "adversarial"].value == pytest.approx(0.2)


def test_a_seed_counts_for_the_runs_that_it_set_alike(config, tmp_path):
    write(tmp_path / "1" / "history", LATE.replace("0.2,0.05", "0.9,0.05"))
    other = config.model_copy(update={"runs": {"b4": config.runs["b4"]}})
    write(tmp_path, LATE)
    found = mechanism_records(config, tmp_path, [SeedFolder(other, tmp_path / "1")])
    assert {record.n_seeds for record in found} == {1}


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
