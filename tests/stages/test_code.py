"""A changed line makes exactly those stages and runs stale that can execute it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.stages.code import check_code, code

# Describes the code again for every line that it reads. What was hashed before stays remembered,
# so do files' names, and the files beside a module are looked for once in a description instead of
# once a run. params.yaml is never edited.
LIST = """
import json, sys
from functools import cache
from dfpg.core import closure
from dfpg.core.config import load_config
from dfpg.stages.code import describe_code
closure._name = cache(closure._name)
resources, config = closure._resources, load_config()
for _ in sys.stdin:
    closure._graph.cache_clear()
    closure._resources = cache(resources)
    print(json.dumps(describe_code(config)), flush=True)
"""
TRAIN, EVALUATE = "train", "evaluate"
OVER_ALL_RUNS = {"environment", "pictures", "robustness", "verify"}


class Project:
    """A copy of the code and of params.yaml, and a process that has imported the copy."""

    def __init__(self, folder: Path) -> None:
        ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / "dfpg", folder / "dfpg", ignore=ignore)
        shutil.copy(ROOT / "params.yaml", folder)
        self.package = folder / "dfpg"
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIST],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def described(self) -> dict[str, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("code"))
    with made.process:
        yield made
        made.process.terminate()


@pytest.fixture(scope="module")
def before(project) -> dict[str, str]:
    return project.described()


def stale(project: Project, before: dict[str, str], file: str, old: str, new: str) -> set[str]:
    """Stages, and runs of ``train`` and ``evaluate``, that an edit makes stale."""
    path = project.package / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        after = project.described()
    finally:
        path.write_text(text)
    return {name.removesuffix(".json") for name in before if after[name] != before[name]}


def runs(before: dict[str, str], stage: str, method: str | None = None) -> set[str]:
    names = {name.removesuffix(".json") for name in before if name.startswith(f"{stage}/")}
    if method is None:
        return names
    return {name for name in names if f"methods/{method}.py" in before[f"{name}.json"]}


LINE = ("from __future__ import annotations\n", "from __future__ import annotations\n\nADDED = 1\n")


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        (
            "pretrained/vggface.py",
            {"baselines", "classical", "priors", TRAIN, EVALUATE, *OVER_ALL_RUNS},
        ),
        (
            "data/blur/degrade.py",
            {"baselines", "classical", "testsets", TRAIN, EVALUATE, *OVER_ALL_RUNS},
        ),
        (
            "core/device.py",
            {
                "baselines",
                "classical",
                "faces",
                "parsing",
                "priors",
                TRAIN,
                EVALUATE,
                *OVER_ALL_RUNS,
            },
        ),
        (
            "core/seeds.py",
            {"baselines", "classical", "kernels", "priors", "report", "tables", "testsets"}
            | {TRAIN, EVALUATE, *OVER_ALL_RUNS},
        ),
        ("metrics/lpips.py", {"baselines", "classical", EVALUATE}),
        ("analysis/people_bootstrap.py", {"pictures", "report", "robustness", "tables"}),
        ("stages/kernels.py", {"kernels"}),
        ("commands/publish.py", set()),
        ("core/params_runs.py", set()),
        ("core/errors.py", set()),
    ],
)
def test_a_changed_line_reaches_what_executes_it(project, before, file, stages):
    found = stale(project, before, file, *LINE)
    expected = stages - {TRAIN, EVALUATE}
    for stage in stages & {TRAIN, EVALUATE}:
        expected |= runs(before, stage)
    assert found == expected


def test_a_changed_method_reaches_its_own_runs(project, before):
    found = stale(project, before, "methods/nafnet.py", *LINE)
    assert found == {"train/nafnet", "evaluate/nafnet", *OVER_ALL_RUNS}


def test_a_module_that_a_method_imports_reaches_the_method_s_runs(project):
    """Case 12: a user's own module, which no list names."""
    helper = project.package / "methods" / "my_layers.py"
    method = project.package / "methods" / "restormer.py"
    text = method.read_text()
    helper.write_text("SCALE = 1\n")
    method.write_text(
        text.replace(LINE[0], LINE[0] + "\nfrom dfpg.methods.my_layers import SCALE\n")
    )
    try:
        with_helper = project.described()
        found = stale(project, with_helper, "methods/my_layers.py", "SCALE = 1", "SCALE = 2")
    finally:
        method.write_text(text)
        helper.unlink()
    assert found == {"train/restormer", "evaluate/restormer", *OVER_ALL_RUNS}


def test_a_reworded_comment_reaches_nothing(project, before):
    reworded = "# Reworded.\n" + LINE[0]
    assert stale(project, before, "core/seeds.py", LINE[0], reworded) == set()
    assert stale(project, before, "core/seeds.py", '"""', '"""Reworded: ') == set()


def test_a_stage_run_alone_on_other_code_is_refused(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"train/b1\.json: the code of train@b1 changed: run `dvc"):
        check_code("train@b1")
    check_code("not-a-stage-of-ours")


def test_a_run_of_no_method_is_named_and_nothing_is_removed(tmp_path, monkeypatch):
    text = (
        (ROOT / "params.yaml").read_text().replace("  b1: {method: dfpgnet", "  b1: {method: dfpg")
    )
    (tmp_path / "params.yaml").write_text(text)
    kept = tmp_path / "artifacts" / "code" / "verify.json"
    kept.parent.mkdir(parents=True)
    kept.touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^params\.yaml: runs\.b1\.method: unknown method 'dfpg'"):
        code()
    assert kept.exists()
