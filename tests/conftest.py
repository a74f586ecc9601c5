"""What every test finds: no home of a user, the same random state, and a few fixtures."""

from __future__ import annotations

import gc
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Small tensors: one thread is faster, and workers of pytest-xdist share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from helpers.places import ROOT
from helpers.yaml_once import yaml_once

from dfpg.core.config import Config
from dfpg.core.profile import resolve_profile
from dfpg.pretrained.assets.store import FOLDER, FOLDER_VARIABLE, cache_folder

OWN_HOME = "DFPG_TEST_HOME"  # set by the main process, for the workers of pytest-xdist
HOMES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
# What a hook of git, a DVC stage or a user's shell leaves, and the tested code would obey.
FOREIGN = ("DVC_STAGE", "GIT_", "MPL", "COLUMNS", "NO_COLOR", "FORCE_COLOR")
# Without a user's settings, git would refuse a tree that somebody else owns.
ANY_OWNER = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}

# Folders whose tests share what takes long to make: one worker of pytest-xdist runs them all.
TOGETHER = ("analysis", "docs", "evaluation/robustness", "metrics", "report")
# Files whose tests fork processes of a server, which takes five seconds to start: one worker, too.
FORKING = (
    *(f"commands/test_{name}.py" for name in ("carry", "recording", "score", "store", "submit")),
    "metrics/test_torchvision_shim.py",
    *(f"reliability/test_{name}.py" for name in ("kill", "memory", "names", "places", "stop")),
    "training/test_agreement.py",
    "test_cli.py",
)
# What takes longest begins first, so that no worker ends alone with it.
FIRST = (
    "forking",
    "analysis",
    "report",
    "methods/test_contract.py",
    "stages/test_code.py",
    "docs",
)


def group_of(name: str) -> str:
    """What a file is distributed with: what forks, its folder if that stays together, or it."""
    name = name.removeprefix("tests/")
    if name in FORKING:
        return "forking"
    return next((folder for folder in TOGETHER if name.startswith(f"{folder}/")), name)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Let `--dist loadfile` keep some folders together, too."""
    from xdist.scheduler import LoadFileScheduling

    class LoadGroups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(super()._split_scope(nodeid))

    return LoadGroups(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest groups first; `--no-loadscope-reorder` keeps them there."""
    ranks = {group: rank for rank, group in enumerate(FIRST)}
    items.sort(key=lambda item: ranks.get(group_of(item.nodeid.split("::")[0]), len(FIRST)))


def pytest_collection_finish() -> None:
    """What is imported by now stays: the garbage collector need not look at it every time."""
    gc.collect()
    gc.freeze()


def pytest_configure() -> None:
    """Give the session an empty home: a user's caches and settings must not decide a test."""
    if OWN_HOME in os.environ:
        return
    if FOLDER_VARIABLE not in os.environ:  # looked up while the user's home is still known
        folders = [ROOT / FOLDER, cache_folder()]
        found = next((folder for folder in folders if folder and folder.is_dir()), folders[0])
        os.environ[FOLDER_VARIABLE] = str(found)
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    home = tempfile.mkdtemp(prefix="dfpg-test-home-")
    os.environ |= {OWN_HOME: home, "HOME": home, **ANY_OWNER}
    os.environ |= {name: str(Path(home) / name.lower()) for name in HOMES}


def pytest_unconfigure(config: pytest.Config) -> None:
    """The main process removes the home, after its workers."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(OWN_HOME), ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test starts from the same global random state, fixtures of its module, too."""
    random.seed(0)
    np.random.seed(0)
    if torch.cuda.is_available():
        torch.manual_seed(0)
    else:  # a millisecond less: that keeps for a GPU where it was called from
        torch.default_generator.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No test looks at what survives a loss of power, and a disk takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _equal_yaml_is_parsed_once() -> Iterator[None]:
    """The smoke profile's text is read hundreds of times, and takes a tenth of a second."""
    with yaml_once():
        yield


@pytest.fixture(scope="session")
def config() -> Config:
    """The smoke profile: every size as small as the code allows."""
    return resolve_profile("smoke")[0]


@pytest.fixture
def set_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say what the CPU has: bf16 at all, and tiles or vectors that multiply it."""

    def set_cpu(bf16: bool, amx: bool, avx512_bf16: bool = False) -> None:
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)

    return set_cpu
