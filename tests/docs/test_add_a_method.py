"""Follows docs/add_a_method.md in a copy of the project: makes its files, runs its commands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from helpers.places import ROOT

PAGE = ROOT / "docs" / "add_a_method.md"
BLOCK = r"\n\n```\w+\n(.*?)```"
COPIED = ("dfpg", "tests", "pyproject.toml", "params.yaml", "results", ".gitignore")

pytestmark = pytest.mark.smoke


def run(folder: Path, command: str) -> str:
    arguments = command.split()
    assert arguments[0] == "python" or command == "rm -rf artifacts"
    result = subprocess.run(
        [sys.executable if name == "python" else name for name in arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def git(folder: Path, *arguments: str) -> str:
    own = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    command = ["git", *own, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def commit(folder: Path) -> None:
    """Make the copy a repository whose only commit is the copy as it is."""
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "before")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The copy in which the page was followed, and what each of its commands printed."""
    folder = tmp_path_factory.mktemp("method") / "project"
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / "data").symlink_to(ROOT / "data")
    recorded = folder / "artifacts" / "recognition" / "richardson_lucy.csv"
    recorded.parent.mkdir(parents=True)
    recorded.write_text("as set-up has brought it")
    commit(folder)
    page = PAGE.read_text()
    for name, text in re.findall(rf"Make the file `([^`]+)`:{BLOCK}", page, re.DOTALL):
        assert not (folder / name).exists()
        (folder / name).write_text(text)
    for name, line, text in re.findall(
        rf"In `([^`]+)`, below the line `([^`]+)`:{BLOCK}", page, re.DOTALL
    ):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (place,) = [index for index, found in enumerate(lines) if found.rstrip("\n") == line]
        lines.insert(place + 1, text)
        (folder / name).write_text("".join(lines))
    (commands,) = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    return folder, {command: run(folder, command) for command in commands.splitlines()}


def test_the_methods_row_is_in_table_2(outputs):
    folder, _ = outputs
    table = pd.read_csv(folder / "artifacts" / "try" / "table2.csv")
    rows = table[(table["row"] == "residual") & (table["metric"] == "psnr")]
    assert len(rows) == 6
    assert rows["value"].between(5, 60).all()
    assert rows["ci_low"].isna().all()  # as the page says: too few people
    assert set(rows["fidelity"]) == {"reimplementation"}


def test_no_other_run_was_trained(outputs):
    folder, _ = outputs
    weights = (folder / "artifacts" / "weights").iterdir()
    assert [path.name for path in weights] == ["residual.safetensors"]


def test_the_contract_was_put_to_it_and_kept(outputs):
    _, printed = outputs
    summary = next(text for command, text in printed.items() if "pytest" in command)
    passed = re.search(r"(\d+) passed", summary)
    assert passed
    assert int(passed[1]) >= 8


def test_nothing_but_the_two_files_of_the_page_changed(outputs):
    folder, _ = outputs
    changed = {line[3:] for line in git(folder, "status", "--porcelain", "-uall").splitlines()}
    assert changed == {"dfpg/methods/residual.py", "params.yaml"}
    page = PAGE.read_text()
    blocks = re.findall(rf"In `params.yaml`, below the line `[^`]+`:{BLOCK}", page, re.DOTALL)
    assert len(blocks) == 2
    lines = git(folder, "diff", "-U0", "params.yaml").splitlines()
    lines = [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == [f"+{block.rstrip()}" for block in blocks]


def test_methods_shows_its_cost(outputs):
    folder, _ = outputs
    assert "| residual | Residual CNN |" in run(folder, "python -m dfpg methods")


def test_the_page_names_no_file_that_is_not_there():
    names = re.findall(r"`((?:dfpg|tests|docs)/[\w/.]+)`", PAGE.read_text())
    made = {"dfpg/methods/residual.py", "tests/methods/test_residual.py"}
    assert len(names) > 10
    assert [name for name in names if name not in made and not (ROOT / name).exists()] == []
