"""`dfpg readings` with trainings and scores that are drawn instead of made."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.toy_scores import scores_of

from dfpg.commands import readings as module
from dfpg.commands.readings import PROFILE, all_readings, reading_config, readings
from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.core.profile import use_profile
from dfpg.evaluation.per_image import write_per_image
from dfpg.methods.registry import run_options
from dfpg.paper.readings import CHOICES

LIFTS = {"b1": 0.5, "b2": 0.5, "b3": 1.0, "b4": 1.5, "b5": 2.0, "dfpg_b": 2.5}


@pytest.fixture
def project(tmp_path, monkeypatch) -> list[tuple[str, object]]:
    """A project where B4 falls behind B3 once the scale has no offset."""
    monkeypatch.chdir(tmp_path)
    use_profile("smoke", Path("params.yaml"))
    made: list[tuple[str, object]] = []

    def train(run, folder, config):
        made.append((run, config.methods["dfpgnet"]["scale_offset"]))
        assert config.runs[run].images == 40
        assert folder.parts[:2] == ("artifacts", "readings")

    def score(config, run, _weights, out):
        spoilt = run == "b4" and config.methods["dfpgnet"]["scale_offset"] == 0
        lift = -1.0 if spoilt else LIFTS[run]
        write_per_image(scores_of(config, run, ("b",), lift), out)

    monkeypatch.setattr("dfpg.stages.train.train", train)
    monkeypatch.setattr(module, "score_weights", score)
    return made


@pytest.mark.usefixtures("project")
def test_a_reading_departs_in_one_place():
    config = load_config()
    found = list(all_readings(config))
    assert found[0].choice == PROFILE
    assert {one.choice for one in found[1:]} == {choice.name for choice in CHOICES}
    for one in found[1:]:
        varied = reading_config(config, one, 40)
        own, other = (c.model_dump(mode="json", exclude={"runs"}) for c in (config, varied))
        assert own != other
        assert set(varied.runs) == set(one.runs)
        assert {run.images for run in varied.runs.values()} == {40}


@pytest.mark.usefixtures("project")
def test_a_reading_departs_from_what_a_run_says_itself():
    config = load_config()
    assert config.runs["b3"].options["prior_fusion"] == "add"
    [one] = [reading for reading in all_readings(config) if reading.choice == "prior-fusion"]
    assert (one.answer, one.runs) == ("concat", ("b3",))
    assert run_options(config, "b3").prior_fusion == "add"
    assert run_options(reading_config(config, one, 40), "b3").prior_fusion == "concat"


def test_what_a_reading_leaves_alone_is_trained_once(project):
    readings(["scale-offset"], images=40)
    runs = [run for run, _ in project]
    assert runs.count("b1") == 1
    assert runs.count("b4") == 2
    assert project.count(("b4", 0)) == 1
    assert set(runs) == set(LIFTS)  # the variants between B5 and B6 are in no claim
    readings(["scale-offset"], images=40)
    assert len(project) == len(runs)


@pytest.mark.usefixtures("project")
def test_the_sheet_shows_where_a_sign_turns():
    readings(["scale-offset"], images=40)
    sheet = pd.read_csv("results/readings.csv", keep_default_na=False)
    pair = sheet[(sheet["better"] == "b4") & (sheet["worse"] == "b3") & (sheet["metric"] == "psnr")]
    by_choice = pair.set_index("choice")["direction"].to_dict()
    assert by_choice == {PROFILE: "right", "scale-offset": "wrong"}
    assert set(sheet["images"]) == {40}
    assert {"ablation-order", "prior-helps", "perceptual-loss"} <= set(sheet["claim"])


def test_an_unknown_choice_is_one_line(project):
    with pytest.raises(UserError, match="colour: no such choice: choose of"):
        readings(["colour"], images=40)
    assert project == []
