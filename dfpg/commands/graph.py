"""``dfpg graph``: everything in ``dvc.yaml`` that is stale, several runs side by side.

DVC runs one stage after the other. Here the stages that runs share come first, then every run's
training and scoring by a ``dvc`` of its own, then the rest. The ``dvc`` processes take turns at
``dvc.lock``.

DVC does not write its own files atomically. So while this runs there is a copy of ``dvc.lock`` from
before, for the case that a ``dvc`` is killed while it writes; the entries that the copy lacks come
back from DVC's run cache, without running anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dfpg.commands.dvc_calls import DVC, status
from dfpg.commands.dvc_stages import read_paths
from dfpg.commands.lock import LOCK
from dfpg.commands.side_by_side import FOLDER, Driver
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.paths import ARTIFACTS
from dfpg.core.terminal import say

SHARED = ("parsing", "baselines")  # what trainings and evaluations need
SET_ASIDE = ARTIFACTS / "set_aside"
COPY = FOLDER / "dvc.lock"
RWLOCK = Path(".dvc/tmp/rwlock")


class FailedError(UserError):
    """Stages failed; their own messages are above."""

    exit_code = 1


def graph(root: Path, jobs: int, runs: Sequence[str] = ()) -> str:
    """Bring the whole of ``dvc.yaml`` up to date, or some runs; says what was done.

    Stopped or killed, it goes on where it was: run it again.

    Args:
        root: the project.
        jobs: runs at a time; 1 leaves all to one ``dvc repro``.
        runs: keys of ``runs``; without any all, and the tables and the report after them.

    Raises:
        FailedError: a stage failed. The runs that do not need it were made.
        StoppedError: SIGINT or SIGTERM; everything has ended.
        UserError: another one works in this project, or DVC cannot read it.
    """
    with Driver(root, "graph") as driver:
        mend(root)
        set_strays_aside(root)
        if not status(root):
            (root / COPY).unlink(missing_ok=True)
            return "nothing to do: everything is up to date"
        keep_lock(root)
        if jobs > 1 or runs:
            repro(driver, *SHARED)
            keep_lock(root)
            stale = [run for run in stale_runs(root) if not runs or run in runs]
            steps = {run: [_command("-s", f"train@{run}", f"evaluate@{run}")] for run in stale}
            if failed := driver.run(steps, jobs):
                raise FailedError(f"graph: {', '.join(failed)} failed: see above")
        if not runs:
            repro(driver)
        (root / COPY).unlink(missing_ok=True)
    return "everything is up to date"


def stale_runs(root: Path) -> list[str]:
    """Runs whose training or scoring is not what ``dvc.yaml`` asks for, in its order."""
    stages = (name.partition("@") for name in status(root))
    return list(dict.fromkeys(run for stage, _, run in stages if stage in ("train", "evaluate")))


def mend(root: Path) -> None:
    """Repair what a killed ``dvc`` can leave behind; only where no other one runs.

    Raises:
        UserError: ``dvc.lock`` is damaged and there is no copy of it.
    """
    _mend_rwlock(root / RWLOCK)
    lock, copy = _stages(root / LOCK), _stages(root / COPY)
    if copy is not None and (lock is None or not copy <= lock):
        write_text(root / LOCK, (root / COPY).read_text(encoding="utf-8"))
        say("graph: dvc.lock was cut short by a kill: took the copy of it")
    elif lock is None and (root / LOCK).exists():
        raise UserError(f"{LOCK}: damaged: bring it back with `git checkout {LOCK}`")


def set_strays_aside(root: Path) -> None:
    """Move what no stage makes out of the folders that stages read whole, into ``SET_ASIDE``.

    The weights of a run that ``params.yaml`` has no more would be part of what the tables are
    recorded with, and no clone could have them.
    """
    read, made = read_paths(root)
    for folder in sorted(read & {path.parent for path in made}):
        if not folder.is_relative_to(ARTIFACTS):
            continue
        for path in sorted((root / folder).glob("*")):
            if folder / path.name not in made:
                place = root / SET_ASIDE / folder.relative_to(ARTIFACTS) / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                while place.exists():  # what was moved there before stays
                    place = place.with_name(f"{place.name}~")
                path.replace(place)
                say(f"graph: {folder / path.name}: no stage makes it: moved to {SET_ASIDE}")


def keep_lock(root: Path) -> None:
    """Copy ``dvc.lock``, if there is one; no ``dvc`` is writing it."""
    if (root / LOCK).exists():
        write_text(root / COPY, (root / LOCK).read_text(encoding="utf-8"))


def _stages(path: Path) -> set[str] | None:
    """Names of the stages in a whole lock file; None where it is missing or cut short."""
    try:
        text = path.read_text(encoding="utf-8")
        found = YAML(typ="safe").load(text)
        return set(found["stages"]) if text.endswith("\n") else None
    except (OSError, ValueError, YAMLError, TypeError, KeyError):
        return None


def _mend_rwlock(path: Path) -> None:
    """Take out the entries of processes that are no more; DVC trusts any process with their number.

    ``{"write": {path: entry}, "read": {path: [entry, ...]}}``, an entry has a ``pid``.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        write = {name: entry for name, entry in found.get("write", {}).items() if _is_alive(entry)}
        read = {name: list(filter(_is_alive, some)) for name, some in found.get("read", {}).items()}
        kept = {"write": write, "read": {name: some for name, some in read.items() if some}}
        write_text(path, json.dumps(kept))
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError, AttributeError):  # cut short
        path.unlink()


def _is_alive(entry: dict[str, int]) -> bool:
    """Whether the ``dvc`` that an entry names still runs."""
    try:
        return any("dvc" in part for part in psutil.Process(entry["pid"]).cmdline())
    except psutil.Error:
        return False


def _command(*arguments: str) -> tuple[str, ...]:
    return (*DVC, "--wait-for-lock", "repro", *arguments)


def repro(driver: Driver, *targets: str) -> None:
    """Run ``dvc repro``, of some stages and what they need or of everything.

    Raises:
        FailedError: a stage failed.
    """
    if driver.run({"repro": [_command(*targets)]}):
        raise FailedError(f"{driver.label}: dvc repro failed: see above")
