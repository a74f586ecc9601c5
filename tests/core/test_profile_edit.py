from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.core.profile import use_profile
from dfpg.core.profile_edit import set_values


@pytest.fixture
def profiles(tmp_path) -> Path:
    folder = tmp_path / "profiles"
    shutil.copytree(str(files("dfpg.core.profiles")), folder)
    return folder


def test_values_reach_the_parameters_and_their_profile_and_comments_stay(tmp_path, profiles):
    path = tmp_path / "params.yaml"
    use_profile("smoke", path)
    before = path.read_text()
    changes = {("runs", "b1", "lr"): 3e-4, ("classical", "a", "steps"): 9,
               ("classical", "a", "sigma"): 3.0}  # fmt: skip
    set_values(changes, path, profiles)
    config = load_config(path)
    assert config.runs["b1"].lr == 3e-4
    assert (config.classical["a"].steps, config.classical["a"].sigma) == (9, 3.0)
    changed = [new for new, old in zip(path.read_text().splitlines(), before.splitlines(),
                                       strict=True) if new != old]  # fmt: skip
    assert len(changed) == 2
    assert "lr: 3.0e-4" in changed[1] or "lr: 3.0e-4" in changed[0]
    own = (profiles / "smoke.yaml").read_text()
    assert "b1: {images: 16, lr: 3.0e-4}" in own
    assert "a: {steps: 9, sigma: 3.0}" in own
    assert own.startswith("# What for:")


def test_what_may_not_be_is_not_written(tmp_path, profiles):
    path = tmp_path / "params.yaml"
    use_profile("smoke", path)
    before = path.read_text(), (profiles / "smoke.yaml").read_text()
    with pytest.raises(UserError, match=r"params\.yaml: runs\.b1\.lr: "):
        set_values({("runs", "b1", "lr"): 7.0}, path, profiles)
    with pytest.raises(UserError, match=r"params\.yaml: runs\.b9\.lr: no such key"):
        set_values({("runs", "b9", "lr"): 1e-3}, path, profiles)
    assert (path.read_text(), (profiles / "smoke.yaml").read_text()) == before
