"""``dfpg record carry``: keep what stages made, where their code changed and what it makes did not.

A renamed function gives the code of every stage that imports it another digest; DVC would train
for hours to make the same bytes. Here the stage runs on this machine with the code it was recorded
with and with today's, from the same inputs. Where every byte is the same, ``dvc.lock`` gets today's
code and the recorded outputs stay. A training is tried for a few steps, all its phases shortened.
"""

from __future__ import annotations

import filecmp
import hashlib
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from dfpg.commands.dvc_calls import dvc, status
from dfpg.commands.dvc_stages import Stage, read_stages
from dfpg.commands.git_calls import git
from dfpg.commands.lock import LOCK, read_lock
from dfpg.commands.record import stale_stages
from dfpg.commands.side_by_side import FOLDER, Driver
from dfpg.commands.store import STORE, keep, pull_missing
from dfpg.core.config import PARAMS
from dfpg.core.errors import UserError
from dfpg.core.markdown import markdown_table
from dfpg.core.paths import ARTIFACTS, CODE
from dfpg.core.terminal import say

STEPS = 60  # of a training that is compared
TRAIN = "train@"
TRAINED = ("weights", "history", "snapshots")  # folders; what a training cost is never the same


@dataclass(frozen=True)
class Carried:
    """What to print, and whether every stage that was compared makes the same bytes."""

    text: str
    same: bool


def carry(root: Path, stages: Sequence[str], commit: str | None = None) -> Carried:
    """Run stages with the recorded code and with that of ``HEAD``; keep those that make the same.

    Args:
        root: the project; its code is committed.
        stages: names as DVC has them, ``train@b1``; without any all on record whose code, and
            nothing else, differs from what they were run with.
        commit: the code that the record was made with; None: of the commit that last changed
            ``dvc.lock``.

    Raises:
        UserError: code or parameters are not committed; there is no such commit or stage; a stage
            is not on record, or differs in more than its code; a stage fails.
    """
    if changed := git(root, "status", "--porcelain", "--", "dfpg", "data", PARAMS.name):
        raise UserError(f"{changed.split()[-1]}: not committed: commit it, then carry over")
    known = read_stages(root)
    for name in stages:
        if name not in known:
            raise UserError(f"{name}: no such stage: `dvc stage list --name-only` has them all")
    commit = commit or git(root, "log", "-1", "--format=%H", "--", LOCK.name)
    try:
        git(root, "rev-parse", "--verify", f"{commit}^{{commit}}")
    except UserError as error:
        raise UserError(f"--from {commit}: no such commit here") from error
    with Driver(root, "record carry") as driver, TemporaryDirectory(prefix="dfpg.") as place:
        pull_missing(root)
        dvc(root, "repro", "--quiet", "code")
        chosen = _choose(root, known, stages)
        trees = (Path(place) / "recorded", Path(place) / "now")
        for tree, code in zip(trees, (commit, "HEAD"), strict=True):
            _set_up(root, tree, code)
        _run(driver, "code", trees[:1], "python -m dfpg code")  # today's is among the artifacts
        lines, same = [], True
        entries = read_lock(root)
        for name in chosen:
            _check_recorded(name, entries[name], trees[0], commit)
        for number, name in enumerate(chosen, 1):
            say(f"{name}: running it with both codes ({number} of {len(chosen)})")
            what = _compare(driver, known[name], name, trees)
            same = same and not what
            if not what:
                dvc(root, "commit", "--quiet", "--force", name)
            lines.append([name, ", ".join(what) or "nothing", "no" if what else "yes"])
        if not lines:
            return Carried("no stage on record differs in its code alone", True)
        size = keep(root)
    table = markdown_table(["stage", "what differs", "carried over"], lines)
    note = f"Code of {commit[:12]} against today's; trainings: {STEPS} steps."
    how = f"to keep it: git add {STORE} {LOCK} && git commit"
    return Carried(f"{note}\n\n{table}\n\n{size}\n{how}", same)


def _choose(root: Path, known: dict[str, Stage], stages: Sequence[str]) -> list[str]:
    """Stages to compare, in the order of ``dvc.yaml``."""
    stale = stale_stages(status(root))
    alone = {name for name, what in stale.items() if _is_code_alone(what)}
    recorded = {name for name, one in known.items() if one.locked and one.cached and one.kept}
    for name in stages:
        if name not in recorded:
            raise UserError(f"{name}: not on record: `dfpg record check` names what is")
        if name in stale and name not in alone:
            raise UserError(f"{name}: differs in more than its code: {', '.join(stale[name])}")
    wanted = set(stages) & alone if stages else alone & recorded
    return [name for name in known if name in wanted]


def _is_code_alone(changes: list[str]) -> bool:
    """Whether what :func:`stale_stages` says of a stage is its digest in ``artifacts/code``."""
    if len(changes) != 1 or not changes[0].startswith("changed deps: "):
        return False
    entries = changes[0].removeprefix("changed deps: ").split(", ")
    return all(entry.startswith(f"{CODE.as_posix()}/") for entry in entries)


def _set_up(root: Path, tree: Path, commit: str) -> None:
    """A clone with a commit's code, the project's artifacts, and parameters of short trainings."""
    git(root, "clone", "-q", "--no-checkout", ".", str(tree))
    git(tree, "checkout", "-q", commit)
    shutil.copytree(root / ARTIFACTS, tree / ARTIFACTS)
    yaml = YAML()
    params = yaml.load(root / PARAMS)
    shorten(params)
    with (tree / PARAMS).open("w", encoding="utf-8") as stream:
        yaml.dump(params, stream)


def _check_recorded(name: str, entry: Mapping[str, Any], tree: Path, commit: str) -> None:
    """Refuse to compare with other code than a stage was recorded with."""
    for dep in entry["deps"]:
        if Path(dep["path"]).is_relative_to(CODE):
            path = tree / dep["path"]
            content = path.read_bytes() if path.is_file() else b""
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != dep["md5"]:
                raise UserError(
                    f"{name}: was not recorded with the code of {commit[:12]}: name the commit "
                    "whose code it was with --from"
                )


def shorten(params: dict[str, Any]) -> None:
    """Make every training of a ``params.yaml`` one of :data:`STEPS` steps with all its phases."""
    training = params["training"]
    training["validate_every"] = training["checkpoint_every"] = STEPS // 2
    runs = list(params["runs"].values())
    for run in runs:
        run["images"] = STEPS * training["batch_size"]
    for options in (*params["methods"].values(), *(run["options"] for run in runs)):
        for key in options:
            if key.endswith("_steps") and isinstance(options[key], int):
                options[key] = min(options[key], STEPS // 3)


def _compare(driver: Driver, stage: Stage, name: str, trees: tuple[Path, Path]) -> list[str]:
    """Run a stage in both clones, side by side; which of its outputs differ."""
    made, command = [Path(path) for path in stage.outputs], stage.command
    if name.startswith(TRAIN):
        out = Path("short") / name.removeprefix(TRAIN)
        made, command = [out / folder for folder in TRAINED], f"{command} --into {out}"
    for tree in trees:
        for path in made:
            _remove(tree / path)
    _run(driver, name, trees, command)
    return [path.as_posix() for path in made if not is_same(trees[0] / path, trees[1] / path)]


def is_same(one: Path, two: Path) -> bool:
    """Whether two files, or two folders with all that is in them, have the same bytes."""
    if not one.is_dir():
        return filecmp.cmp(one, two, shallow=False)
    names = [sorted(path.relative_to(top) for path in top.rglob("*")) for top in (one, two)]
    files = (name for name in names[0] if (one / name).is_file())
    return names[0] == names[1] and all(is_same(one / name, two / name) for name in files)


def _run(driver: Driver, name: str, trees: Sequence[Path], command: str) -> None:
    """Run a command in clones, side by side, by a shell as DVC does.

    Raises:
        UserError: it failed in one of them; the last line that it wrote.
    """
    logs = {tree.name: driver.root / FOLDER / f"{tree.name}.log" for tree in trees}
    for log in logs.values():
        log.unlink(missing_ok=True)
    tasks = {
        tree.name: [("sh", "-c", f"cd {shlex.quote(str(tree))} && {command}")] for tree in trees
    }
    if failed := driver.run(tasks, jobs=2):
        said = logs[failed[0]].read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise UserError(f"{name}: failed with one of the codes: {(said or ['no message'])[-1]}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
