from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.toy_scores import few_runs, write_artifacts

from dfpg.analysis.claim_tests import Evidence, run_tests
from dfpg.analysis.estimates import load_scores
from dfpg.analysis.observations import Observations, load_observations
from dfpg.analysis.paired_scores import pair_scores
from dfpg.analysis.seed_folders import fitting_seeds
from dfpg.analysis.seed_records import load_seeds
from dfpg.analysis.strata import per_image_mean
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
from dfpg.paper.claims import Comparison
from dfpg.paper.tables import TABLES, Cell, Column

TABLE3 = next(table for table in TABLES if table.recognition)
RUNS = ("dfpg_a", "lee2020_a", "dfpg_b", "b4", "b5")
CELL = Cell("table4", Column("mspl_center", "mean"), "psnr")


def write_seed(config: Config, folder: Path, seed: int, *edits: tuple[str, str]) -> None:
    """A folder as `dfpg publish` writes it, of the smoke profile with another seed."""
    write_artifacts(few_runs(config, *RUNS), folder)
    text = re.sub(r"^seed: 0$", f"seed: {seed}", resolve_profile("smoke")[1], flags=re.MULTILINE)
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)


@pytest.fixture(scope="module")
def smoke() -> Config:
    return resolve_profile("smoke")[0]


@pytest.fixture(scope="module")
def own(smoke, tmp_path_factory) -> tuple[pd.DataFrame, Observations]:
    """Scores of the tables' own trainings, and what was seen in their images of Table 3."""
    folder = tmp_path_factory.mktemp("own")
    write_seed(smoke, folder, 0)
    few = few_runs(smoke, *RUNS)
    return load_scores(few, folder / "per_image"), load_observations(few, folder)


def test_seeds_of_the_same_parameters_are_taken_in(smoke, own, tmp_path):
    for seed in (0, 1, 2):
        write_seed(smoke, tmp_path / f"{seed}", seed)
    found = load_seeds(fitting_seeds(smoke, tmp_path), *own)
    assert list(found) == [1, 2]  # the tables' own seed is no further one
    panel = pair_scores(smoke, *own)
    comparison = Comparison(CELL, "b5", "b4")
    outcome = run_tests(smoke, Evidence.of(panel, found), [comparison])[0]
    assert outcome.seeds == 3
    assert outcome.spread == pytest.approx(0, abs=1e-9)  # toy scores know no seed


def test_table_3_has_the_spread_of_seeds_whose_recognition_is_kept(smoke, own, tmp_path):
    """Of one other seed's network faces are found in one image of two, instead of 90 %."""
    cell = Cell("table3", TABLE3.columns[0], "detection_pct")
    pair = [("lee2020_a", "dfpg_a")]
    for seed in (1, 2):
        write_seed(smoke, tmp_path / f"{seed}", seed)
    path = tmp_path / "1" / "recognition" / "dfpg_a.csv"
    frame = pd.read_csv(path)
    frame["dlib_hog_score"] = np.where(frame.index % 2, 1.0, np.nan)
    frame.to_csv(path, index=False)
    (tmp_path / "2" / "recognition" / "lee2020_a.csv").unlink()
    one, two = load_seeds(fitting_seeds(smoke, tmp_path), *own).values()
    (stratum,) = one[cell].differences(pair)
    (first,) = pair_scores(smoke, *own)[cell].differences(pair)
    assert float(per_image_mean(stratum)[0]) == pytest.approx(90 - 50)
    assert float(per_image_mean(first)[0]) == pytest.approx(0)
    assert "lee2020_a" not in two[cell].runs  # that folder has no recognition of it
    assert "lee2020_a" in two[Cell("table1", Column("shen", "celeba"), "psnr")].runs


def test_recognition_of_other_images_is_refused(smoke, own, tmp_path):
    write_seed(smoke, tmp_path / "1", 1)
    path = tmp_path / "1" / "recognition" / "dfpg_a.csv"
    pd.read_csv(path).iloc[:-1].to_csv(path, index=False)
    with pytest.raises(UserError, match="its images are not those of the other runs"):
        load_seeds(fitting_seeds(smoke, tmp_path), *own)


def test_a_seed_counts_once(smoke, own, tmp_path):
    for name in ("1", "again"):
        write_seed(smoke, tmp_path / name, 1)
    assert [one.folder.name for one in fitting_seeds(smoke, tmp_path)] == ["1"]
    assert list(load_seeds(fitting_seeds(smoke, tmp_path), *own)) == [1]


def test_trainings_by_other_parameters_say_nothing_of_these(smoke, own, tmp_path):
    write_seed(smoke, tmp_path / "other", 1, ("image_size: 32", "image_size: 64"))
    write_seed(smoke, tmp_path / "old", 2, ("classical:\n", "classic:\n"))
    assert load_seeds(fitting_seeds(smoke, tmp_path), *own) == {}
    assert load_seeds(fitting_seeds(smoke, tmp_path / "none"), *own) == {}


def test_trainings_that_were_scored_on_other_images_say_nothing_of_these(smoke, own, tmp_path):
    for seed in (1, 2):
        write_seed(smoke, tmp_path / f"{seed}", seed)
    path = tmp_path / "2" / "per_image" / "baselines.csv"
    frame = pd.read_csv(path)
    frame.loc[frame["method"] == "blurred", "psnr"] += 0.01  # as other kernels would have it
    frame.to_csv(path, index=False)
    assert len(load_seeds(fitting_seeds(smoke, tmp_path), *own)) == 1


def test_a_run_that_is_set_otherwise_is_left_out(smoke, own, tmp_path):
    changed = re.search(r"^  b4: .*$", resolve_profile("smoke")[1], flags=re.MULTILINE)
    line = changed.group(0)
    write_seed(smoke, tmp_path / "1", 1, (line, line.replace("images: ", "images: 1")))
    found = load_seeds(fitting_seeds(smoke, tmp_path), *own)[1]
    assert "b5" in found[CELL].runs
    assert "b4" not in found[CELL].runs


@pytest.mark.parametrize(("method", "alike"), [("lee2020", True), ("dfpgnet", False)])
def test_a_method_that_is_set_otherwise_concerns_its_own_runs_alone(
    smoke, own, tmp_path, method, alike
):
    text = resolve_profile("smoke")[1]
    block = re.search(rf"^  {method}:\n    width: \d+", text, flags=re.MULTILINE).group(0)
    write_seed(smoke, tmp_path / "1", 1, (block, f"{block}0"))
    found = load_seeds(fitting_seeds(smoke, tmp_path), *own)
    assert [{"b4", "b5"} <= set(one[CELL].runs) for one in found.values()] == [alike]
