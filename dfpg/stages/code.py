"""Stage ``code``: what code every stage and run depends on, one small file each.

The other stages of ``dvc.yaml`` depend on these files instead of on source files: exactly those
stages and runs are stale whose import closure changed its meaning, a reworded comment makes none
stale, and a new module is found by itself.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from dfpg.core.closure import closure, digest, file_digests, needs_registry
from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.paths import CODE
from dfpg.methods.names import check_name

PER_RUN = ("train", "evaluate")
STAGES = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
)


def code() -> str:
    """Stage ``code``: write ``artifacts/code``; says how many files.

    Raises:
        UserError: params.yaml is not valid, or a run names no method.
    """
    found = describe_code(load_config())
    shutil.rmtree(CODE, ignore_errors=True)
    for name, text in found.items():
        write_text(CODE / name, text)
    return f"code of {len(found)} stages and runs: {CODE}"


def describe_code(config: Config) -> dict[str, str]:
    """Contents of the files by their path in ``artifacts/code``: digest, and that of each file.

    Raises:
        UserError: a run names no method.
    """
    found: dict[str, str] = {}
    for stage in STAGES:
        if stage == "code":
            continue
        if stage in PER_RUN:
            found |= {f"{stage}/{run}.json": _describe(config, stage, [run]) for run in config.runs}
        else:
            found[f"{stage}.json"] = _describe(config, stage, list(config.runs))
    return found


def check_code(addressing: str) -> None:
    """Refuse to run a stage on other code than ``artifacts/code`` says.

    DVC compares files: a stage that is run alone (``dvc repro -s``) after an edit would be entered
    into ``dvc.lock`` with the code from before.

    Args:
        addressing: the stage as DVC names it, ``train@b1``.

    Raises:
        UserError: its code changed since the stage ``code`` ran, or its run names no method.
    """
    stage, _, run = addressing.partition("@")
    if stage not in STAGES or stage in ("code", "fetch"):
        return
    config = load_config()
    name = f"{stage}/{run}.json" if stage in PER_RUN else f"{stage}.json"
    runs = [run] if stage in PER_RUN else list(config.runs)
    path = CODE / name
    if not path.is_file() or path.read_text() != _describe(config, stage, runs):
        raise UserError(f"{path}: the code of {addressing} changed: run `dvc repro code` first")


def _describe(config: Config, stage: str, runs: list[str]) -> str:
    module = f"dfpg.stages.{stage}"
    methods = set()
    for run in runs:
        if run in config.runs:
            name = config.runs[run].method
            check_name(name, f"{PARAMS}: runs.{run}.method")
            methods.add(f"dfpg.methods.{name}")
    paths = closure(module, *(sorted(methods) if needs_registry(module) else ()))
    facts = {"digest": digest(paths), "files": file_digests(paths)}
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"
