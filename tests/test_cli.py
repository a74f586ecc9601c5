"""Bad input ends in one line on stderr and exit code 2, and loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from dfpg.profile import use_profile

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path) -> Path:
    """A folder with params.yaml (smoke) and the asset folder, but no data."""
    use_profile("smoke", tmp_path / "params.yaml")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "assets").symlink_to(ROOT / "artifacts" / "assets")
    return tmp_path


def dfpg(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dfpg", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def refused(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("dfpg: ")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == lines[0]
    return lines[0]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("image_size: 32", "imagesize: 32", "image_size"),
        ("  dfpgnet:\n    width:", "  dfpgnet:\n    widht:", "methods.dfpgnet.width"),
        ("options: {variant: b2}", "options: {variant: b9}", "runs.b2.options.variant"),
        ("method: dfpgnet", "method: dfpgnett", "runs.dfpg_a.method"),
        ("source: embedded", "source: celeba", "protocols.a.source"),
    ],
)
def test_mistyped_parameter_is_named_with_its_path(project, old, new, named):
    replace(project / "params.yaml", old, new)
    assert named in refused(dfpg(project, "verify"))


def test_no_params_is_one_line(tmp_path):
    assert "run dfpg in the project's root" in refused(dfpg(tmp_path, "kernels"))


def test_missing_asset_says_how_to_get_it(project):
    (project / "artifacts" / "assets").unlink()
    shutil.copytree(ROOT / "data", project / "data")
    line = refused(dfpg(project, "verify"))
    assert "dfpg fetch" in line
    assert "DFPG_ASSETS" in line
    assert "SHA-256" in line


def test_unknown_run_lists_the_known_ones(project):
    for command in ("train", "evaluate"):
        assert "dfpg_a" in refused(dfpg(project, command, "b7"))


def test_missing_input_of_a_stage_names_the_file(project):
    shutil.copytree(ROOT / "data", project / "data")
    assert "artifacts/kernels" in refused(dfpg(project, "train", "b1"))


def test_wrong_vggface_file_is_refused_and_the_old_prior_stays(project):
    shutil.copytree(ROOT / "data", project / "data")
    priors = project / "artifacts" / "priors"
    priors.mkdir()
    (priors / "card.json").write_text("old")
    save_file({}, project / "vgg.safetensors")
    replace(project / "params.yaml", "vggface: null", "vggface: vgg.safetensors")
    line = refused(dfpg(project, "priors"))
    assert "vgg.safetensors" in line
    assert "features.N.weight" in line
    assert (priors / "card.json").read_text() == "old"


def test_tables_without_scores_leave_the_old_results(project):
    (project / "results").mkdir()
    (project / "results" / "table1.csv").write_text("old")
    refused(dfpg(project, "tables"))
    assert (project / "results" / "table1.csv").read_text() == "old"


def test_help_is_fast_enough_to_need_no_torch():
    code = "import sys, dfpg.cli; print('torch' in sys.modules, 'pandas' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout.split() == ["False", "False"]
