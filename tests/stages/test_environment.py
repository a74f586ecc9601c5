from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from pathlib import Path

import pytest

from dfpg.stages.environment import (
    FOREIGN_OWNER,
    config_hash,
    describe_environment,
    git_commit,
    why_no_commit,
    write_environment,
)


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=root, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("code.py", "dvc.lock", "params.yaml", "results/table1.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("first\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_environment_names_machine_versions_and_profile(config, tmp_path):
    write_environment(config, tmp_path / "environment.json", tmp_path)
    facts = json.loads((tmp_path / "environment.json").read_text())
    assert facts["profile"] == "smoke"
    assert facts["seed"] == config.seed
    assert facts["python"] == platform.python_version()
    assert facts["device"] in ("cpu", "cuda", "mps")
    assert facts["precision"] in ("fp32", "bf16")
    assert facts["device_name"]
    assert facts["packages"]["torch"]
    assert facts["commit"] is None


def test_environment_tells_no_host_path_or_time(config, tmp_path):
    text = json.dumps(describe_environment(config, tmp_path))
    assert text == json.dumps(describe_environment(config, tmp_path))
    assert socket.gethostname() not in text
    for path in (Path.cwd(), Path.home(), tmp_path):
        assert str(path) == "/" or str(path) not in text


def test_config_hash_changes_with_any_value(config):
    again = type(config).model_validate(config.model_dump())
    assert config_hash(again) == config_hash(config)
    assert config_hash(config.model_copy(update={"seed": config.seed + 1})) != config_hash(config)


def test_commit_is_dirty_only_by_changes_to_code(repository):
    commit = git(repository, "rev-parse", "HEAD")
    assert git_commit(repository) == commit
    (repository / "results" / "table1.csv").write_text("new values\n")
    (repository / "dvc.lock").write_text("new hashes\n")
    (repository / "params.yaml").write_text("profile: other\n")
    (repository / "scratch").write_text("untracked\n")
    assert git_commit(repository) == commit
    (repository / "code.py").write_text("changed\n")
    assert git_commit(repository) == f"{commit}-dirty"


def test_no_commit_outside_git_before_the_first_commit_and_without_git(
    repository, tmp_path_factory, monkeypatch
):
    empty = tmp_path_factory.mktemp("fresh")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(empty.parent))
    assert git_commit(empty) is None
    git(empty, "init", "-q")
    assert git_commit(empty) is None
    monkeypatch.setenv("PATH", os.devnull)
    assert git_commit(repository) is None


def test_a_missing_commit_has_its_reason(config, repository, tmp_path_factory, monkeypatch):
    assert "no_commit" not in describe_environment(config, repository)
    empty = tmp_path_factory.mktemp("fresh")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(empty.parent))
    assert describe_environment(config, empty)["no_commit"] == "no git repository"
    git(empty, "init", "-q")
    assert why_no_commit(empty).startswith("no commit yet")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")  # tests trust every folder
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as in a container
    assert git_commit(repository) is None
    assert why_no_commit(repository) == FOREIGN_OWNER
    monkeypatch.setenv("PATH", os.devnull)
    assert why_no_commit(repository) == "git is not installed"
