from __future__ import annotations

from pathlib import Path

import pytest
from helpers.csv_files import read_rows
from helpers.toy_curve import write_parts
from helpers.toy_scores import few_runs, write_artifacts

from dfpg.analysis.estimates import load_scores
from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import RobustnessRecord
from dfpg.analysis.robustness import curve_records, read_curve
from dfpg.analysis.tables import build_project_tables
from dfpg.commands.analyse import analyse
from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile
from dfpg.report.result_files import write_result_files


@pytest.fixture(scope="module")
def quick(config: Config) -> Config:
    statistics = config.statistics.model_copy(update={"resamples": 50})
    few = few_runs(config, "dfpg_a", "dfpg_b", "b1")
    return few.model_copy(update={"statistics": statistics})


@pytest.fixture(scope="module")
def made(quick: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose results the stages made."""
    folder = tmp_path_factory.mktemp("analyse")
    artifacts, results = folder / "artifacts", folder / "results"
    artifacts.mkdir()
    write_artifacts(quick, artifacts)
    parts = write_parts(quick, artifacts / "robustness", lambda *_: 1.0)
    write_artifacts(quick, results / "seeds" / "1")  # a second seed, which the tables count
    text = resolve_profile("smoke")[1].replace("\nseed: 0\n", "\nseed: 1\n")
    (results / "seeds" / "1" / "params.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        build_project_tables(quick, Path("results"))
    assert "2" in {row["n_seeds"] for row in read_rows(results / "claim_tests.csv")}
    write_result_files(quick, load_scores(quick, artifacts / "per_image"), results)
    curve = curve_records(quick, read_curve(quick, parts), parts)
    (results / "robustness.csv").write_text(csv_text(RobustnessRecord, curve))
    (results / "environment.json").write_text("{}")  # of a machine: nothing to compare
    return folder


def test_results_follow_from_scores_to_the_byte_and_what_differs_is_named(
    quick: Config, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    before = {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}
    found = analyse(quick)
    assert not found.differing
    made_of = {path for path in before if path.is_relative_to("results/seeds")}
    expected = {str(path.relative_to("results")) for path in before.keys() - made_of}
    expected -= {"environment.json"}
    assert set(found.files) == expected
    assert str(found).startswith(f"{len(expected)} of {len(expected)} files are byte for byte")
    assert all(path.read_bytes() == content for path, content in before.items())
    table = Path("results/table1.csv")
    table.write_text(table.read_text().replace("0", "1", 1))
    Path("results/metrics/claims.json").unlink()
    found = analyse(quick)
    assert found.differing == ("metrics/claims.json", "table1.csv")
    assert str(found).splitlines()[:2] == [
        "differs: results/metrics/claims.json",
        "differs: results/table1.csv",
    ]
