from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.csv_files import pick_row, read_rows
from helpers.toy_scores import IMAGES, PEOPLE, few_runs, mean_of_images, write_artifacts

from dfpg.analysis.tables import build_tables
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.paper.published import published_values
from dfpg.paper.weights import PUBLISHED

CSVS = (
    "table1",
    "table2",
    "table3",
    "table4",
    "deviations",
    "gains",
    "claims",
    "claim_tests",
    "main",
    "mechanisms",
    "ranks",
    "order",
    "training",
    "verification",
    "roc",
    "verification_histogram",
)
CARDS = ("embedder.json", "prior.json")
NAMES = sorted([*(f"{name}.csv" for name in CSVS), "metrics", *CARDS])


@pytest.fixture(scope="module")
def few(config: Config) -> Config:
    return few_runs(config, "dfpg_a", "b1", "b2")


@pytest.fixture(scope="module")
def few_results(few: Config, artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("few") / "results"
    build_tables(few, artifacts, out)
    return out


def test_table_2_value_is_the_mean_of_its_images(artifacts, results):
    where = {"test_set": "mspl_random", "subset": "ffhq"}
    conventions = {"psnr": "psnr", "ssim": "ssim_matlab_rgb", "lpips": "lpips_alex"}
    for metric, convention in conventions.items():
        expected = mean_of_images(artifacts, "dfpg_b", "mspl", "random", "ffhq", convention)
        row = pick_row(results / "table2.csv", row="dfpg_b", metric=metric, **where)
        assert float(row["value"]) == pytest.approx(expected, abs=6e-6)
        assert row["convention"] == convention
        assert float(row["ci_low"]) < expected < float(row["ci_high"])
        assert (row["n_images"], row["n_people"]) == (str(IMAGES), str(PEOPLE))


def test_table_1_takes_the_alexnet_lpips(artifacts, results):
    expected = mean_of_images(artifacts, "dfpg_a", "shen", "center", "helen", "lpips_alex")
    row = pick_row(results / "table1.csv", row="dfpg_a", subset="helen", metric="lpips")
    assert float(row["value"]) == pytest.approx(expected, abs=6e-6)


def test_table_4_is_the_mean_of_three_subset_means_and_b6_is_dfpg_b(artifacts, results):
    expected = statistics.fmean(
        mean_of_images(artifacts, "dfpg_b", "mspl", "center", subset, "psnr")
        for subset in ("celeba", "celeba_hq", "ffhq")
    )
    row = pick_row(results / "table4.csv", row="b6", metric="psnr")
    assert float(row["value"]) == pytest.approx(expected, abs=6e-6)
    assert (row["run"], row["subset"], row["published"]) == ("dfpg_b", "mean", "29.27")
    assert float(row["deviation"]) == pytest.approx(expected - 29.27, abs=1e-5)
    assert row["n_people"] == str(3 * PEOPLE)


def test_every_row_of_the_paper_is_there_and_none_is_without_value_or_reason(results):
    for name in ("table1", "table2", "table3", "table4"):
        rows = read_rows(results / f"{name}.csv")
        printed = {key.row for key in published_values() if key.table == name}
        assert printed <= {row["row"] for row in rows}
        assert all(bool(row["value"]) or bool(row["reason"]) for row in rows)
        keys = [(row["row"], row["test_set"], row["subset"], row["metric"]) for row in rows]
        assert len(keys) == len(set(keys))


def test_a_row_whose_run_does_not_exist_is_reported_only(config, few_results):
    row = pick_row(few_results / "table2.csv", row="xia2019", subset="ffhq", metric="psnr",
               test_set="mspl_center")  # fmt: skip
    assert row["value"] == row["ci_low"] == row["n_people"] == row["source"] == ""
    assert row["published"] == "24.66"
    assert row["fidelity"] == "reported only"
    assert (row["verdict"], row["reason"]) == (
        "not comparable",
        f"not in profile {config.profile}; weights: {PUBLISHED['xia2019'].files}",
    )
    shen = pick_row(few_results / "table1.csv", row="shen2020", subset="helen", metric="psnr")
    assert shen["reason"].startswith("reported only")


def test_generated_faces_are_not_comparable_and_the_source_says_so(results):
    row = pick_row(results / "table1.csv", row="dfpg_a", subset="celeba", metric="d_vgg")
    assert row["verdict"] == "not comparable"
    assert row["source"] == "celeba <- embedded (generated people)"
    for reason in ("other images: celeba <- embedded", "32 px instead of 128", "surrogate"):
        assert reason in row["reason"]
    psnr = pick_row(results / "table1.csv", row="dfpg_a", subset="celeba", metric="psnr")
    assert "d_VGG" not in psnr["reason"]


def test_prior_is_named_where_it_was_used(results):
    def named(row: str, metric: str) -> str:
        return pick_row(results / "table4.csv", row=row, metric=metric)["prior"]

    assert named("b2", "psnr") == named("blurred", "d_vgg") == "surrogate"
    assert named("b1", "psnr") == named("blurred", "psnr") == ""


def test_infinite_psnr_is_empty_with_a_reason_and_json_stays_valid(results):
    row = pick_row(results / "table1.csv", row="sharp", subset="helen", metric="psnr")
    assert (row["value"], row["ci_low"], row["ci_high"]) == ("", "", "")
    assert row["reason"].startswith("infinite")
    ssim = pick_row(results / "table1.csv", row="sharp", subset="helen", metric="ssim")
    assert (ssim["value"], ssim["ci_low"], ssim["reason"]) == ("1.00000", "1.00000", "")

    def refuse(text: str) -> None:
        pytest.fail(f"{text} is no JSON")

    for path in sorted(results.rglob("*.json")):
        json.loads(path.read_text(), parse_constant=refuse)


def test_deviations_has_every_printed_figure_once(results):
    path = results / "deviations.csv"
    assert len(read_rows(path)) == len(published_values()) == 312
    sharp = pick_row(path, table="table3", row="sharp", metric="detection_pct")
    assert (sharp["published"], sharp["value"]) == ("96.00", "100.00000")
    text = pick_row(path, table="table3", row="dfpg_a", metric="detection_pct")
    assert (text["published"], text["erratum"]) == ("96.41", "96.10 in the paper's text")
    b6 = pick_row(path, table="table4", row="b6", metric="psnr")
    assert b6["value"]
    assert "29.227" in b6["erratum"]


def test_same_inputs_give_the_same_bytes(few, few_results, artifacts, results, tmp_path):
    one, two = few_results, tmp_path / "two"
    build_tables(few, artifacts, two)
    for out in (results, one, two):
        assert sorted(path.name for path in out.iterdir()) == NAMES
    made = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(made) > len(NAMES)
    for name in made:
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_run_beyond_the_paper_joins_the_table_of_its_protocol(config, artifacts, tmp_path):
    runs = {"dfpg_b": config.runs["dfpg_b"], "mine": config.runs["dfpg_b"]}
    build_tables(config.model_copy(update={"runs": runs}), artifacts, tmp_path)
    rows = [row for row in read_rows(tmp_path / "table2.csv") if row["row"] == "mine"]
    assert len(rows) == 24
    assert {row["reason"] for row in rows} == {"not evaluated on them"}
    assert "mine" not in {row["row"] for row in read_rows(tmp_path / "table1.csv")}


def test_runs_scored_on_other_images_are_refused(few, tmp_path):
    folder = write_artifacts(few, tmp_path / "artifacts")
    path = folder / "per_image" / "b1.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=r"'b1'.*not those of the other runs"):
        build_tables(few, folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("per_image/baselines.csv", None, "baselines.csv: no such file"),
        ("per_image/b1.csv", "hello\n", "b1.csv: no column 'method'"),
        ("per_image/b1.csv", "", "b1.csv: not a per-image CSV"),
        ("priors/card.json", None, "card.json: no readable card"),
        ("priors/card.json", "{", "card.json: no readable card"),
        ("references/embedder.json", None, "embedder.json: no readable card; run the baselines"),
        ("references/pairs.csv", None, "pairs.csv: no list of pairs"),
        ("recognition/baselines.csv", None, "baselines.csv: no such file"),
        ("recognition/dfpg_a.csv", "hello\n", "dfpg_a.csv: no column 'method'"),
        ("cost/b1.json", "{}", "b1.json: no record of a training's cost"),
    ],
)
def test_bad_input_is_one_line(few, tmp_path, name, text, message):
    folder = write_artifacts(few, tmp_path / "artifacts")
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        build_tables(few, folder, tmp_path / "results")
    assert "\n" not in str(caught.value)


def test_a_csv_of_another_method_is_refused(few, tmp_path):
    folder = write_artifacts(few, tmp_path / "artifacts") / "per_image"
    (folder / "b1.csv").write_bytes((folder / "b2.csv").read_bytes())
    with pytest.raises(UserError, match=r"b1\.csv: holds another method"):
        build_tables(few, tmp_path / "artifacts", tmp_path / "results")


def test_tables_do_without_torch():
    code = (
        "import sys, dfpg.analysis.tables, dfpg.report.markdown, dfpg.commands.compare, "
        "dfpg.analysis.people_bootstrap, dfpg.stages.environment, "
        "dfpg.evaluation.score; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_approximations_say_what_is_approximated(config, tmp_path):
    runs = dict.fromkeys(("dfpg_a", "li2020", "wang2021"), config.runs["dfpg_a"])
    other = config.model_copy(update={"runs": runs})
    build_tables(other, write_artifacts(other, tmp_path / "artifacts"), tmp_path)
    for name in ("li2020", "wang2021"):
        row = pick_row(tmp_path / "table1.csv", row=name, subset="helen", metric="psnr")
        assert row["fidelity"] == "approximation"
        assert row["note"]
    row = pick_row(tmp_path / "table1.csv", row="dfpg_a", subset="helen", metric="psnr")
    assert (row["fidelity"], row["note"]) == ("reimplementation", "")
    run = runs["li2020"].model_copy(update={"weights": "dfdnet.pth"})
    official = other.model_copy(update={"runs": {"li2020": run}})
    build_tables(official, tmp_path / "artifacts", tmp_path)
    row = pick_row(tmp_path / "table1.csv", row="li2020", subset="helen", metric="psnr")
    assert (row["fidelity"], row["note"]) == ("official weights", "")
