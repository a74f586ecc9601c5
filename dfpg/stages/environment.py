"""Stage ``environment``: what made the results. No time, path or host name."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from dfpg.core.config import Config, load_config
from dfpg.core.files import write_text
from dfpg.core.paths import RESULTS

PACKAGES = (
    "accelerate",
    "dvc",
    "insightface",
    "lpips",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "safetensors",
    "scikit-image",
    "scipy",
    "torch",
    "torchvision",
)
FOREIGN_OWNER = "git refuses the folder: it belongs to another user"
# No code: what a run itself writes, and the parameters, whose hash stands beside the commit.
NO_CODE = ("results", "dvc.lock", "params.yaml")


def environment() -> None:
    """Stage ``environment``: what machine and which versions made the results."""
    write_environment(load_config(), RESULTS / "environment.json")


def describe_environment(config: Config, root: Path = Path()) -> dict[str, Any]:
    """Facts about this machine and code, by name.

    Args:
        config: names the profile, the seed and the wanted precisions.
        root: the project's root, for the commit.
    """
    from dfpg.core.device import describe_device, select_device
    from dfpg.evaluation.restore import evaluation_precision

    commit = git_commit(root)
    reason = {} if commit else {"no_commit": why_no_commit(root)}
    return {
        "profile": config.profile,
        "config_sha256": config_hash(config),
        "seed": config.seed,
        "commit": commit,
        **reason,
        **describe_device(config.training.precision),
        "restoring_precision": evaluation_precision(config, select_device()),
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def write_environment(config: Config, out: Path, root: Path = Path()) -> None:
    """Write :func:`environment` as JSON."""
    write_text(
        out, json.dumps(describe_environment(config, root), indent=2, allow_nan=False) + "\n"
    )


def config_hash(config: Config) -> str:
    """SHA-256 of the parameters, the same for any order and layout of ``params.yaml``."""
    text = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def git_commit(root: Path) -> str | None:
    """Commit of the code in ``root``, with ``-dirty`` if tracked code differs from it.

    ``None`` outside git, before the first commit, where git is not installed, and where it refuses
    the folder because another user owns it.
    """
    excluded = [f":(exclude,top){name}" for name in NO_CODE]
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":/", *excluded)
    if commit is None or changes is None:
        return None
    return f"{commit}-dirty" if changes else commit


def why_no_commit(root: Path) -> str:
    """Why :func:`git_commit` gives none, without a path."""
    if shutil.which("git") is None:
        return "git is not installed"
    done = _run_git(root, "rev-parse", "HEAD")
    if "dubious ownership" in done.stderr:
        return FOREIGN_OWNER
    if "not a git repository" in done.stderr:
        return "no git repository"
    return "no commit yet, or a damaged repository"


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = _run_git(root, *arguments)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run_git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
