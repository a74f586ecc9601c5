"""`dfpg budget` on weights whose scores are drawn."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.toy_scores import scores_of

from dfpg.analysis.study_records import FALLS, GROWS, STEADY
from dfpg.commands.budget import budget
from dfpg.core.errors import UserError
from dfpg.core.profile import use_profile
from dfpg.evaluation.per_image import write_per_image

BUDGETS = (100, 200, 400)


@pytest.fixture
def project(tmp_path, monkeypatch) -> list[str]:
    """B4's lead over B3 grows with the images, B5's over B4 falls, B6's over B5 stays."""
    monkeypatch.chdir(tmp_path)
    use_profile("smoke", Path("params.yaml"))
    manifest = Path("artifacts/testsets/b/manifest.json")
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    for run in ("b3", "b4", "b5", "dfpg_b"):
        folder = Path("artifacts/snapshots") / run
        folder.mkdir(parents=True)
        lines = [f"{images // 4},{images},step-{images}.safetensors" for images in BUDGETS]
        (folder / "index.csv").write_text("\n".join(["step,images,file", *lines]) + "\n")
        for images in BUDGETS:
            (folder / f"step-{images}.safetensors").write_text(f"{run} {images}")
    made: list[str] = []

    def score(config, run, weights, out):
        text = weights.read_text()
        made.append(text)
        images = int(text.split()[1])
        lift = {"b3": 0.0, "b4": images / 100, "b5": 3.0, "dfpg_b": 4.0}[run]
        write_per_image(scores_of(config, run, ("b",), lift), out)

    monkeypatch.setattr("dfpg.evaluation.weights_scores.score_weights", score)
    return made


def test_effects_are_followed_over_the_budgets(project):
    budget()
    assert len(project) == 4 * len(BUDGETS)
    sheet = pd.read_csv("results/budget.csv")
    sheet = sheet[(sheet["claim"] == "ablation-order") & (sheet["metric"] == "psnr")]
    trends = {pair: part["trend"].unique().tolist() for pair, part in sheet.groupby("better")}
    assert trends == {"b4": [GROWS], "b5": [FALLS], "b6": [STEADY]}
    b4 = sheet[sheet["better"] == "b4"].sort_values("images")
    assert b4["images"].tolist() == list(BUDGETS)
    assert b4["effect"].tolist() == pytest.approx([1, 2, 4], abs=0.1)
    assert set(b4["direction"]) == {"right"}


def test_only_changed_weights_are_scored_again(project):
    budget()
    Path("artifacts/snapshots/b3/step-200.safetensors").write_text("b3 200 again")
    budget()
    assert project[4 * len(BUDGETS) :] == ["b3 200 again"]


def test_other_test_images_are_scored_anew(project):
    budget()
    Path("artifacts/testsets/b/manifest.json").write_text('{"sha256": {}}')
    budget()
    assert len(project) == 2 * 4 * len(BUDGETS)


def test_missing_test_images_are_left_to_what_scores_them(project):
    budget()
    Path("artifacts/testsets/b/manifest.json").unlink()
    budget()
    assert len(project) == 2 * 4 * len(BUDGETS)


def test_without_kept_weights_it_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    use_profile("smoke", Path("params.yaml"))
    with pytest.raises(UserError, match="no weights were kept"):
        budget()
