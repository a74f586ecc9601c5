"""`record carry` in a small project whose own `dfpg` makes files as the real one does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dfpg.commands.carry import STEPS, carry, is_same, shorten
from dfpg.commands.dvc_calls import dvc, status
from dfpg.commands.dvc_stages import read_stages
from dfpg.core.errors import UserError

pytestmark = pytest.mark.usefixtures("forked_dvc")

MAIN = """
import hashlib, pathlib, sys
from dfpg.kernels import *
from dfpg.train import *

def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

if sys.argv[1] == "code":
    for name in ("kernels", "train"):
        digest = hashlib.sha256(pathlib.Path(f"dfpg/{name}.py").read_bytes()).hexdigest()
        write(f"artifacts/code/{name}.json", digest)
elif sys.argv[1] == "kernels":
    write("artifacts/kernels/bank", str(draw()))
else:
    out = sys.argv[4] if "--into" in sys.argv else "artifacts"
    steps = int(pathlib.Path("params.yaml").read_text().split("images: ")[1].split()[0])
    weights = fit(steps, pathlib.Path("artifacts/kernels/bank").read_text())
    write(f"{out}/weights/b1.safetensors", str(weights))
    write(f"{out}/history/b1.csv", "history")
    write(f"{out}/snapshots/b1/1", str(weights))
    write(f"{out}/cost/b1.json", __import__("time").ctime())
"""
PIPELINE = """
stages:
  code:
    cmd: python -m dfpg code
    deps: [dfpg]
    outs: [artifacts/code]
  kernels:
    cmd: python -m dfpg kernels
    deps: [artifacts/code/kernels.json]
    outs: [artifacts/kernels]
  train:
    foreach: [b1]
    do:
      cmd: python -m dfpg train ${item}
      deps: [artifacts/kernels, artifacts/code/train.json]
      params: [runs]
      outs:
        - artifacts/weights/${item}.safetensors
        - artifacts/history/${item}.csv
        - artifacts/cost/${item}.json
"""
PARAMS = """
training: {batch_size: 4, validate_every: 250, checkpoint_every: 250}
methods: {m: {phase_steps: 150, width: 3}}
runs:
  b1:
    images: 12000
    options: {}
"""
CONFIG = """[core]
    analytics = false
    remote = store
['remote "store"']
    url = ../store
"""


def git(folder: Path, *arguments: str) -> None:
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *author, *arguments], cwd=folder, check=True, capture_output=True)


def edit(folder: Path, name: str, source: str) -> None:
    (folder / "dfpg" / f"{name}.py").write_text(source)
    git(folder, "commit", "-qam", name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of `recorded`, made once: it takes seconds."""
    folder = tmp_path_factory.mktemp("carry") / "a project"
    (folder / "dfpg").mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(CONFIG)
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    files = {"dvc.yaml": PIPELINE, "params.yaml": PARAMS, "dfpg/__main__.py": MAIN}
    files |= {"dfpg/__init__.py": "", ".gitignore": "artifacts\nscratch\nstore\n__pycache__\n"}
    files |= {"dfpg/kernels.py": "def draw():\n    return 7\n"}
    files |= {"dfpg/train.py": "def fit(steps, bank):\n    return steps * int(bank)\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    dvc(folder, "repro", "-q")
    dvc(folder, "push", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "record")
    return folder


@pytest.fixture
def recorded(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "a project", symlinks=True))


def test_a_renamed_function_keeps_what_was_made_with_it(recorded):
    weights = recorded / "artifacts" / "weights" / "b1.safetensors"
    assert weights.read_text() == str(12000 * 7)
    edit(recorded, "train", "def learn(steps, b):\n    return steps * int(b)\n\n\nfit = learn\n")
    outcome = carry(recorded, [])
    assert outcome.same
    assert "train@b1" in outcome.text
    assert "kernels" not in outcome.text
    assert status(recorded) == {}
    assert all(stage.kept for stage in read_stages(recorded).values())
    assert weights.read_text() == str(12000 * 7)
    assert carry(recorded, []).text == "no stage on record differs in its code alone"


def test_a_stage_that_makes_other_bytes_stays_stale(recorded):
    edit(recorded, "kernels", "def sample():\n    return 7\n\n\ndraw = sample\n")
    edit(recorded, "train", "def fit(steps, bank):\n    return steps * int(bank) + (steps > 99)\n")
    outcome = carry(recorded, [])
    assert not outcome.same
    said = {line.split("|")[1].strip(): line for line in outcome.text.splitlines() if "|" in line}
    assert "yes" in said["kernels"]
    assert "short/b1/weights, short/b1/snapshots" in said["train@b1"]
    assert list(status(recorded)) == ["train@b1"]


def test_nothing_is_carried_over_from_other_code_or_parameters(recorded):
    edit(recorded, "train", "def fit(steps, bank):\n    return int(bank) * steps\n")
    with pytest.raises(UserError, match="train@b1: was not recorded with the code of"):
        carry(recorded, [], "HEAD")
    with pytest.raises(UserError, match="--from nobody: no such commit here"):
        carry(recorded, [], "nobody")
    with pytest.raises(UserError, match="train@b9: no such stage"):
        carry(recorded, ["train@b9"])
    (recorded / "dfpg" / "kernels.py").write_text("def draw():\n    return 8\n")
    with pytest.raises(UserError, match=r"dfpg/kernels\.py: not committed"):
        carry(recorded, [])
    git(recorded, "checkout", "-q", "dfpg")
    (recorded / "params.yaml").write_text(PARAMS.replace("12000", "4000"))
    git(recorded, "commit", "-qam", "params")
    with pytest.raises(UserError, match="train@b1: differs in more than its code"):
        carry(recorded, ["train@b1"])
    assert list(status(recorded)) == ["train@b1"]


def test_a_stage_that_fails_with_the_new_code_is_named(recorded):
    edit(recorded, "train", "def fit(steps, bank):\n    raise SystemExit('out of order')\n")
    with pytest.raises(UserError, match="train@b1: failed with one of the codes: out of order"):
        carry(recorded, [])


def test_a_short_training_has_all_phases():
    params = YAML(typ="safe").load(Path("params.yaml"))
    shorten(params)
    assert {run["images"] for run in params["runs"].values()} == {STEPS * 4}
    assert params["methods"]["shen2018"]["parsing_steps"] == STEPS // 3
    assert params["methods"]["yasarla2020"]["stream_steps"] == 0
    assert params["training"]["validate_every"] == STEPS // 2


def test_folders_are_the_same_where_names_and_bytes_are(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "x").write_text("x")
    one, two = tmp_path / "one", tmp_path / "two"
    assert is_same(one, two)
    (two / "sub" / "x").write_text("y")
    assert not is_same(one, two)
    (two / "sub" / "x").write_text("x")
    (two / "y").write_text("")
    assert not is_same(one, two)
