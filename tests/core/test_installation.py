"""A clone beside an installed copy: case 20."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.core.installation import other_copy, refuse_other_copy
from dfpg.core.profile import use_profile


@pytest.fixture
def clone(tmp_path) -> Path:
    """A folder that has a dfpg of its own, and parameters that this one does not know."""
    (tmp_path / "dfpg").mkdir()
    (tmp_path / "dfpg" / "cli.py").write_text("")
    (tmp_path / "params.yaml").write_text("profile: of_the_other_version\n")
    return tmp_path


def test_only_a_folder_with_another_copy_has_one(clone, tmp_path_factory):
    assert other_copy(clone) == clone / "dfpg"
    assert other_copy(ROOT) is None
    assert other_copy(tmp_path_factory.mktemp("plain")) is None
    link = tmp_path_factory.mktemp("link")
    (link / "dfpg").symlink_to(ROOT / "dfpg")
    assert other_copy(link) is None


def test_parameters_of_another_copy_are_not_rewritten(clone):
    with pytest.raises(UserError, match=r"params\.yaml: not written: .*use `python -m dfpg`"):
        use_profile("smoke", clone / "params.yaml")
    assert (clone / "params.yaml").read_text() == "profile: of_the_other_version\n"
    refuse_other_copy(ROOT / "params.yaml")


def test_the_command_of_another_clone_warns_and_touches_nothing(clone):
    """As a console script: its folder, not the working one, comes first among the modules."""
    script = "import sys; from dfpg.cli import main; sys.argv = ['dfpg', *sys.argv[1:]]; main()"

    def dfpg(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", script, *arguments],
            cwd=clone,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    listed = dfpg("profile", "list")
    assert listed.returncode == 0, listed.stderr
    assert listed.stderr.startswith("dfpg: this folder has a dfpg of its own, but the one in ")
    used = dfpg("profile", "use", "smoke")
    assert used.returncode == 2
    assert "params.yaml: not written" in used.stderr.splitlines()[-1]
    assert (clone / "params.yaml").read_text() == "profile: of_the_other_version\n"
    assert sorted(path.name for path in clone.iterdir()) == ["dfpg", "params.yaml"]
