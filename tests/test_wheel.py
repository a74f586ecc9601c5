"""The wheel in an environment of its own, with the newest versions that it allows: case 19."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from helpers.places import ROOT

pytestmark = pytest.mark.slow

FACE = ROOT / "data" / "faces" / "p00000_0.jpg"
# Of torch's build for GPUs; the CPU's needs none of them.
OF_TORCH = re.compile(r"nvidia-|cuda-|triton|pip$")
MOST_PACKAGES = 60  # insightface and lpips, with what they need, are 12 of them
PIPELINE = ("dvc", "dlib-bin", "mkdocs", "accelerate", "psutil", "scikit-learn", "matplotlib")


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """The folder of programs of an environment with nothing but the wheel."""
    folder = tmp_path_factory.mktemp("a wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "dfpg", source / "dfpg", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "-q", wheel)
    return programs


def run(*command, cwd: Path = Path(), code: int = 0) -> str:
    """What a command prints, in an environment that knows no other copy of the package."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nothing_of_the_pipeline_is_installed(bare):
    listed = run(bare / "python", "-m", "pip", "list", "--format", "freeze").split()
    names = [line.partition("==")[0].lower().replace("_", "-") for line in listed]
    assert not set(PIPELINE) & set(names)
    assert len([name for name in names if not OF_TORCH.match(name)]) <= MOST_PACKAGES


def test_it_deblurs_and_scores_and_says_its_version(bare, tmp_path):
    (tmp_path / "sharp").mkdir()
    shutil.copy(FACE, tmp_path / "sharp" / "face.jpg")
    said = run(bare / "dfpg", "deblur", "sharp", "restored", cwd=tmp_path)
    assert "1 of 1 photographs restored, 1 face found" in said
    said = run(bare / "dfpg", "score", "--restored", "restored", "--sharp", "sharp", cwd=tmp_path)
    assert "lpips_vgg " in said
    assert (tmp_path / "restored_scores.csv").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "restored",
        "restored_scores.csv",
        "sharp",
    ]
    assert re.fullmatch(
        r"dfpg-bench \d+\.\d+\.\d+\n", run(bare / "dfpg", "--version", cwd=tmp_path)
    )


def test_the_lines_of_the_page_and_the_readme_run(bare, tmp_path):
    shutil.copy(FACE, tmp_path / "photo.jpg")
    page = ROOT / "docs" / "python.md"
    run(bare / "python", "-m", "doctest", page, cwd=tmp_path)
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        run(bare / "python", "-c", block, cwd=tmp_path)


def test_a_command_of_the_pipeline_names_its_extra(bare, tmp_path):
    (tmp_path / "params.yaml").touch()
    said = run(bare / "dfpg", "doctor", cwd=tmp_path, code=2)
    assert said == "dfpg: psutil is not installed: run `pip install -e '.[repro]'` in the clone\n"
