"""What is imported when: a command starts fast, and no package is needed that it does not use."""

from __future__ import annotations

import os
import subprocess
import sys

from helpers.places import ROOT


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def imported(code: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after ``code``."""
    result = run("-c", f"import sys\n{code}\nprint(*sys.modules)")
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


def test_finding_assets_needs_no_torch():
    assert "torch" not in imported("import dfpg.pretrained.assets.store")


def test_the_command_line_imports_little():
    modules = imported("import dfpg.cli")
    assert not modules & {"torch", "pandas", "numpy", "PIL", "scipy", "pydantic", "rich"}
    assert len(modules - imported("import typer")) < 16  # of ours: dfpg, cli, what they hold


def test_help_imports_little_more():
    """What its time depends on: `dfpg --help` took 0.14 s with 151 modules (2 cores)."""
    help_ = "from typer.testing import CliRunner; import dfpg.cli"
    shown = imported(f"{help_}\nassert CliRunner().invoke(dfpg.cli.app, ['--help']).exit_code == 0")
    assert not shown & {"torch", "pandas", "numpy"}
    assert len(shown) < 300


def test_help_answers_within_0_3_s():
    """Of processor time, the best of three: what it takes where nothing else runs."""
    taken = []
    for _ in range(3):
        before = os.times()
        assert "doctor" in run("-m", "dfpg", "--help").stdout
        after = os.times()
        taken.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(taken) < 0.3


def test_another_python_is_told_where_the_package_is_installed():
    done = run("-S", "-m", "dfpg", "--help")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"dfpg: typer is not installed for {sys.executable}: "
        "use .venv/bin/python after `make setup`, or run `pip install .` in the clone\n"
    )
