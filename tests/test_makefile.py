"""The Makefile in folders with spaces and letters beyond ASCII: case 6."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.places import ROOT

# Stands in for Python: `-m venv` puts itself there, everything else is written down.
PYTHON = """#!/bin/sh
case "$*" in
    *"-m venv "*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *) echo "$*" >> calls.txt ;;
esac
"""


@pytest.fixture
def clone(tmp_path) -> Path:
    folder = tmp_path / "My Thesis Ünï" / "dfpg bench"
    folder.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def test_a_file_of_a_targets_name_does_not_stand_in_for_it():
    lines = (ROOT / "Makefile").read_text().splitlines()
    (phony,) = (line.split()[1:] for line in lines if line.startswith(".PHONY:"))
    assert phony == [line.partition(":")[0] for line in lines if re.match(r"[a-z-]+:.*##", line)]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_targets_run_in_a_folder_with_a_space_in_its_name(clone):
    def make(*targets: str) -> None:
        command = ["make", "PYTHON=./python", "JOBS=1", *targets]
        done = subprocess.run(
            command, cwd=clone, capture_output=True, text=True, check=False, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stdout + done.stderr

    make("setup")
    assert (clone / ".venv" / ".installed").is_file()
    make("graph")
    make("docs")
    calls = (clone / "calls.txt").read_text().splitlines()
    assert calls[1].startswith("-m pip install --quiet")
    assert calls[2:] == [
        "-m dfpg record fetch",
        "-m dfpg fetch",
        "-m dfpg graph --jobs 1",
        "-m mkdocs build --strict",
    ]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_set_up_is_done_where_the_record_cannot_be_fetched(clone):
    failing = PYTHON + 'case "$*" in *"record fetch"*) exit 2 ;; esac\n'
    (clone / "python").write_text(failing)
    command = ["make", "PYTHON=./python", "setup"]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the record is not here" in done.stdout
    assert (clone / ".venv" / ".installed").is_file()


def test_what_the_pages_commands_write_is_ignored_by_git_and_removed_by_clean():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    recipe = (ROOT / "Makefile").read_text().split("\nclean:")[1]
    for folder in ("artifacts", "scratch", "site", "dvc_plots"):  # the last: `dvc plots show`
        assert f"/{folder}/" in ignored
        assert f" {folder} " in recipe
