from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.toy_scores import write_artifacts
from ruamel.yaml import YAML
from scipy import stats

from dfpg.commands.seeds import compare_seeds
from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.core.profile import use_profile
from dfpg.evaluation.per_image import read_per_image, write_per_image
from dfpg.paper.tables import TABLES

RUNS = ("dfpg_a", "dfpg_b", "b5", "nafnet")  # tables of all runs take many seconds
LIFTS = (0.0, 0.4, -0.3)  # of dfpg_b's PSNR, by seed


def set_params(path: Path, **values) -> None:
    yaml = YAML()
    data = yaml.load(path)
    data.update(values)
    data["runs"] = {name: data["runs"][name] for name in RUNS}
    yaml.dump(data, path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three seeds on the same test images; dfpg_b differs from seed to seed by ``LIFTS``."""
    root = tmp_path_factory.mktemp("seeds")
    for seed, lift in enumerate(LIFTS):
        folder = root / f"seed{seed}"
        folder.mkdir()
        use_profile("smoke", folder / "params.yaml")
        set_params(folder / "params.yaml", seed=seed)
        (folder / "artifacts").mkdir()
        write_artifacts(load_config(folder / "params.yaml"), folder / "artifacts")
        path = folder / "artifacts" / "per_image" / "dfpg_b.csv"
        rows = read_per_image(path)
        write_per_image(rows.assign(psnr=rows["psnr"] + lift), path)
    return root


@pytest.fixture
def folders(made, tmp_path):
    shutil.copytree(made, tmp_path / "runs")
    return sorted((tmp_path / "runs").iterdir())


@pytest.fixture(scope="module")
def compared(made, tmp_path_factory):
    """What is said of the three seeds, and the file of their comparison."""
    out = tmp_path_factory.mktemp("compared") / "seeds.csv"
    return compare_seeds(sorted(made.iterdir()), out), out


def read(path):
    names = ("table", "row", "test_set", "subset", "metric")
    return {
        tuple(record[name] for name in names): record
        for record in csv.DictReader(path.read_text().splitlines())
    }


def test_a_value_has_the_seeds_mean_scatter_and_gain(folders, compared):
    message, out = compared
    assert message.endswith("over seeds 0 1 2, same test images")
    record = read(out)["table2", "dfpg_b", "mspl_center", "ffhq", "psnr"]
    means = []
    for folder in folders:
        rows = read_per_image(folder / "artifacts" / "per_image" / "dfpg_b.csv")
        own = rows[(rows["subset"] == "ffhq") & (rows["mode"] == "center")]
        means.append(own["psnr"].mean())
    assert float(record["value"]) == pytest.approx(np.mean(means), abs=1e-5)
    assert float(record["seed_sd"]) == pytest.approx(np.std(LIFTS, ddof=1), abs=1e-5)
    reach = stats.t.ppf(0.975, 2) * np.std(LIFTS, ddof=1) / np.sqrt(3)
    assert float(record["ci_high"]) - float(record["value"]) > reach
    assert float(record["gain_high"]) - float(record["gain"]) == pytest.approx(reach, rel=0.05)
    assert (record["n_seeds"], record["seeds"], record["test_images"]) == ("3", "0 1 2", "same")
    assert record["profile"] == "smoke"
    assert record["gain_over"] == "blurred"


def test_without_scatter_the_interval_is_that_over_people(compared):
    records = read(compared[1])
    other = records["table2", "nafnet", "mspl_center", "ffhq", "psnr"]
    assert float(other["seed_sd"]) == 0
    varied = records["table2", "dfpg_b", "mspl_center", "ffhq", "psnr"]
    widths = [float(one["ci_high"]) - float(one["ci_low"]) for one in (other, varied)]
    assert widths[0] < widths[1]


def test_every_table_of_scored_images_is_there(compared):
    records = read(compared[1])
    assert {key[0] for key in records} == {t.name for t in TABLES if not t.recognition}
    assert all(one["value"] for key, one in records.items() if key[1] != "sharp")
    sharp = records["table1", "sharp", "shen", "helen", "psnr"]
    assert (sharp["value"], sharp["gain"], sharp["seed_sd"]) == ("", "", "")
    lower = records["table1", "dfpg_a", "shen", "helen", "lpips"]
    assert float(lower["gain"]) > 0  # positive is better, whatever the metric


def test_a_gain_can_be_over_another_run(folders, tmp_path):
    compare_seeds(folders, tmp_path / "seeds.csv", against="b5")
    records = read(tmp_path / "seeds.csv")
    six = records["table4", "b6", "mspl_center", "mean", "psnr"]
    five = records["table4", "b5", "mspl_center", "mean", "psnr"]
    assert float(six["gain"]) == pytest.approx(float(six["value"]) - float(five["value"]), abs=2e-5)
    assert five["gain"] == ""
    first = records["table1", "dfpg_a", "shen", "helen", "psnr"]  # b5 is not scored there
    assert (first["gain"], first["gain_over"]) == ("", "b5")


def test_copies_of_parameters_and_scores_are_enough(folders, compared, tmp_path):
    for folder in folders:
        shutil.move(folder / "artifacts" / "per_image", folder / "per_image")
        shutil.rmtree(folder / "artifacts")
    compare_seeds(folders, tmp_path / "copies.csv")
    assert (tmp_path / "copies.csv").read_bytes() == compared[1].read_bytes()


def test_other_test_images_are_said_so(folders, tmp_path):
    path = folders[1] / "artifacts" / "per_image" / "baselines.csv"
    rows = read_per_image(path)
    rows.loc[rows["method"] == "blurred", "psnr"] += 0.5
    write_per_image(rows, path)
    assert "different test images" in compare_seeds(folders, tmp_path / "seeds.csv")


def test_a_run_counts_over_the_folders_that_have_it(folders, compared, tmp_path):
    (folders[2] / "artifacts" / "per_image" / "dfpg_b.csv").unlink()
    for folder in folders[1:]:
        (folder / "artifacts" / "per_image" / "nafnet.csv").unlink()
    said = compare_seeds(folders, tmp_path / "x.csv")
    assert "dfpg_b: seeds 0 1 alone\n" in said
    assert "nafnet: seed 0 alone, left out\n" in said
    before, after = read(compared[1]), read(tmp_path / "x.csv")
    assert [key for key in before if key[1] != "nafnet"] == list(after)  # in the same order
    six = ("table4", "b6", "mspl_center", "mean", "psnr")
    assert (after[six]["n_seeds"], after[six]["seeds"]) == ("2", "0 1")
    assert float(after[six]["seed_sd"]) == pytest.approx(np.std(LIFTS[:2], ddof=1), abs=2e-5)
    five = ("table4", "b5", "mspl_center", "mean", "psnr")
    assert after[five] == before[five]


def refused(folders, out, message, **options):
    with pytest.raises(UserError, match=message):
        compare_seeds(folders, out, **options)
    assert not out.exists()


def test_bad_input_gets_one_line(folders, tmp_path):
    out = tmp_path / "seeds.csv"
    refused(folders[:1], out, "name two or more folders")
    refused([folders[0], folders[0]], out, "seed 0 as in")
    refused(folders, out, "--against b9: not scored in every folder", against="b9")
    refused([*folders, tmp_path / "nothing"], out, "nothing: no such folder")
    set_params(folders[1] / "params.yaml", image_size=64)
    refused(folders, out, r"seed1/params\.yaml: image_size is not that of")
    set_params(folders[1] / "params.yaml", image_size=32)
    shutil.rmtree(folders[1] / "artifacts")
    refused(folders, out, "seed1: no scores of single images")
