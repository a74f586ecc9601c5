"""`dfpg tune` with trainings that are drawn instead of made."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from dfpg.commands import tune as module
from dfpg.commands.tune import (
    ALONE,
    TRIALS,
    WITH_DISCRIMINATOR,
    paper_rates,
    trial_config,
    trials_of,
    tune,
)
from dfpg.core.config import Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.profile import use_profile
from dfpg.core.schedule import training_steps

RUNS = ["b1", "dfpg_b", "nafnet"]


@pytest.fixture
def project(tmp_path, monkeypatch) -> list[tuple[str, float, float]]:
    """A project whose trainings are written down; a run gains most at three times its rate."""
    monkeypatch.chdir(tmp_path)
    use_profile("smoke", Path("params.yaml"))
    made = []

    def train(run: str, folder: Path, config: Config) -> None:
        settings = config.runs[run]
        made.append((run, settings.lr, settings.lr_discriminator))
        best = 3 * paper_rates(config, run).lr
        gain = 1 - abs(settings.lr - best) / best
        (folder / "history").mkdir(parents=True, exist_ok=True)
        (folder / "cost").mkdir(exist_ok=True)
        end = training_steps(config, run)
        line = f"step,validation_gain,validation_gain_se\n{end},{gain:.4f},0.1\n"
        (folder / "history" / f"{run}.csv").write_text(line)
        (folder / "cost" / f"{run}.json").write_text(json.dumps({"seconds": 2.0}))

    monkeypatch.setattr("dfpg.stages.train.train", train)
    return made


@pytest.fixture
def written(monkeypatch) -> dict[tuple[str, ...], float]:
    """What is written into the parameters."""
    found: dict[tuple[str, ...], float] = {}
    monkeypatch.setattr(module, "set_values", lambda changes: found.update(changes) or "")
    return found


@pytest.mark.usefixtures("project")
def test_every_run_has_as_many_trials_and_they_differ_in_rates_and_length_alone():
    config = load_config()
    for run in (*RUNS, "xia2019", "yasarla2020"):
        trials = trials_of(config, run)
        assert len(trials) == len(set(trials)) == TRIALS
        assert trials == (WITH_DISCRIMINATOR if run in ("dfpg_b", "yasarla2020") else ALONE)
    varied = trial_config(config, "dfpg_b", WITH_DISCRIMINATOR[1], 40)
    assert varied.runs["dfpg_b"].lr == pytest.approx(1e-4 / 3)  # the paper's 1e-4, not 1e-3
    assert varied.runs["dfpg_b"].lr_discriminator == pytest.approx(1e-5 / 3)  # the same ratio
    assert varied.runs["dfpg_b"].images == 40
    same = {"runs": config.runs}
    assert varied.model_copy(update=same) == config
    assert any(trial.discriminator != 1 for trial in trials_of(config, "dfpg_b"))
    assert all(trial.discriminator == 1 for trial in trials_of(config, "nafnet"))


def test_all_are_trained_once_and_the_best_is_taken(project):
    tune(RUNS, images=40)
    assert len(project) == TRIALS * len(RUNS)
    sheet = pd.read_csv("results/tuning.csv")
    assert len(sheet) == TRIALS * len(RUNS)
    chosen = sheet[sheet["chosen"] == "yes"].set_index("run")
    assert (chosen["trial"] == "triple").all()
    assert (chosen["at_edge"] == "no").all()  # nine times was tried, too
    assert (sheet["seconds"] == 2).all()
    tune(RUNS, images=40)
    assert len(project) == TRIALS * len(RUNS)


def test_another_length_or_setting_is_another_trial(project):
    tune(["b1"], images=40)
    tune(["b1"], images=80)
    assert len(project) == 2 * TRIALS
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("seed: 0", "seed: 1", 1))
    tune(["b1"], images=80)
    assert len(project) == 3 * TRIALS


@pytest.mark.usefixtures("project")
def test_winners_go_into_the_parameters_by_one_command(written):
    with pytest.raises(UserError, match="nafnet: not all 5 trials are there"):
        tune(["nafnet"], images=40, take=True)
    tune(["nafnet"], images=40)
    tune(["nafnet"], images=40, take=True)
    assert written["runs", "nafnet", "lr"] == pytest.approx(3e-3)


@pytest.mark.usefixtures("project")
def test_the_ablation_takes_the_whole_networks_rates(written):
    tune(["b4"], images=40)
    with pytest.raises(UserError, match="dfpg_b: not all 5 trials are there"):
        tune(["b4"], images=40, take=True)
    tune(["dfpg_b"], images=40)
    tune(["b4"], images=40, take=True)
    assert {run for _, run, _ in written} == {"b4"}
    assert written["runs", "b4", "lr"] == pytest.approx(3e-4)
    assert written["runs", "b4", "lr_discriminator"] == pytest.approx(3e-5)


@pytest.mark.parametrize(
    ("runs", "images", "message"),
    [(["b9"], 40, "b9: no such run"), (["b1"], 1, "--images 1: less than a batch of 4")],
)
def test_bad_input_is_one_line(project, runs, images, message):
    with pytest.raises(UserError, match=message):
        tune(runs, images)
    assert project == []
