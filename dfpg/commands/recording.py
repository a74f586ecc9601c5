"""``dfpg record``: fetch the record, make it, and add trainings to it one by one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dfpg.commands.dvc_calls import dvc
from dfpg.commands.dvc_stages import read_stages
from dfpg.commands.git_calls import git
from dfpg.commands.graph import graph, mend
from dfpg.commands.lock import LOCK, lock_entries, outputs, read_lock
from dfpg.commands.record import check_record
from dfpg.commands.side_by_side import Driver
from dfpg.commands.store import (
    NO_RECORD,
    STORE,
    current_stages,
    keep,
    pull_missing,
    pull_record,
)
from dfpg.core.config import PARAMS, Config, check_runs, load_config, sources
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write, sha256
from dfpg.core.paths import ARTIFACTS
from dfpg.data.faces.dataset import EMBEDDED, JOIN
from dfpg.methods.registry import build_method
from dfpg.stages.fetch import fetch
from dfpg.stages.train import TRAINING_INPUTS, training_inputs


def fetch_record(root: Path = Path()) -> str:
    """Bring the record out of the store, and show that it belongs to this code; trains nothing.

    Fetches the assets, too, where they are not there.

    Raises:
        UserError: there is no record, or it is not whole, or of other code, data or parameters.
    """
    config = load_config()
    pull_record(root)
    check = check_record(root)
    trained, _ = recorded_runs(config, root)
    if not trained:
        raise UserError(NO_RECORD)
    if lacking := [*check.stale, *check.lost]:
        raise UserError(
            f"the record is not whole: of this code, data and {PARAMS} it has {len(trained)} of "
            f"{len(config.runs)} runs ({', '.join(trained)}): `make record` makes what is missing: "
            + ", ".join(lacking[:5])
            + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        )
    fetch()
    if "Running stage" in dvc(root, "repro"):
        return "the record is here; what is not kept in the store was made again"
    return "the record is here, and belongs to this code, data and params.yaml: nothing to do"


def make_record(config: Config, root: Path, jobs: int) -> str:
    """Bring everything up to date and keep it in the store; says what changed.

    What is on record is fetched, not made again.

    Raises:
        UserError: the profile shows real people or uses others' weights, which the repository must
            not hold; a stage failed; the store is too large.
    """
    check_publishable(config)
    before = {}
    with suppress(UserError):  # no commit has one yet
        before = lock_entries(git(root, "show", f"HEAD:{LOCK}"))
    pull_missing(root)
    lines = [graph(root, jobs)]
    size = keep(root)
    after = read_lock(root)
    changed = sorted(name for name in after if outputs(after[name]) != outputs(before.get(name)))
    lines.append(f"made anew since the last commit: {', '.join(changed) or 'nothing'}")
    lines.append(dvc(root, "metrics", "diff", "--md").strip() or "no metric changed")
    lines += [str(check_record(root)), size]
    lines.append(
        f"to keep it: dfpg record pages && git add {STORE} {LOCK} results README.md docs "
        "&& git commit"
    )
    return "\n".join(lines)


def add_runs(config: Config, root: Path, runs: Sequence[str], source: Path | None = None) -> str:
    """Keep the trainings that are finished, while others are not; says what is on record.

    Args:
        config: of ``params.yaml``.
        root: the project.
        runs: keys of ``runs`` that have to be on record then; others that are finished are kept,
            too.
        source: folder that ``dfpg train RUN --into`` filled, perhaps on another machine; its
            trainings of ``runs`` are entered. Without it they are looked for in ``artifacts``.

    Raises:
        UserError: a training is not finished, or was made with other code, parameters or inputs
            than are here; or it is on record already; see also :func:`make_record`.
    """
    check_publishable(config)
    check_runs(config, runs)
    if source is not None and not runs:
        raise UserError(f"record add --from {source}: name the runs to take from there")
    with Driver(root, "record"):
        mend(root)
        dvc(root, "repro", "--quiet", "code")
        for run in runs:
            enter_training(config, root, run, source)
        size = keep(root)
    trained, scored = recorded_runs(config, root)
    lines = [f"on record: {len(trained)} of {len(config.runs)} runs: {', '.join(trained)}"]
    if waiting := [run for run in trained if run not in scored]:
        lines.append(f"not scored yet: {', '.join(waiting)}: `dfpg graph {' '.join(waiting)}`")
    lines += [size, f"to keep it: git add {STORE} {LOCK} && git commit"]
    return "\n".join(lines)


def recorded_runs(config: Config, root: Path) -> tuple[list[str], list[str]]:
    """Runs whose training, and those whose scores, are in the store and current."""
    stages = read_stages(root)
    there = {name for name in current_stages(root, stages) if stages[name].kept}
    trained = [run for run in config.runs if f"train@{run}" in there]
    return trained, [run for run in trained if f"evaluate@{run}" in there]


def enter_training(config: Config, root: Path, run: str, source: Path | None = None) -> None:
    """Take a finished training into ``dvc.lock``; ``artifacts/code`` has to be current.

    Args:
        config: of ``params.yaml``.
        root: the project.
        run: key of ``runs``.
        source: see :func:`add_runs`.

    Raises:
        UserError: there is none, or of other code, parameters or inputs than are here.
    """
    stage, stages = f"train@{run}", read_stages(root)
    current = current_stages(root, stages)
    if stage in current:
        if source is None:
            return
        raise UserError(f"{run}: trained with this code and these parameters already: it stays")
    # In the order of dvc.yaml: what comes first may be why the others are not current.
    if stale := [name for name in stages if name in stages[stage].needs - current]:
        raise UserError(
            f"{run}: {stale[0]} is not as {LOCK} says: `dvc pull` or `dvc repro {stale[0]}` first"
        )
    folder = source or root / ARTIFACTS
    weights = folder / "weights" / f"{run}.safetensors"
    path = folder / TRAINING_INPUTS / f"{run}.json"
    if not weights.exists() or not path.exists():
        raise UserError(f"{run}: no finished training in {folder}: `dfpg graph {run}` trains it")
    here = training_inputs(config, run, build_method(config, run, prior=None))
    _compare(run, path, here | {"weights": sha256(weights)})
    if source is not None:
        made = [Path(path).relative_to(ARTIFACTS) for path in stages[stage].outputs]
        for name in [*made, Path(TRAINING_INPUTS) / f"{run}.json"]:
            _copy(source / name, root / ARTIFACTS / name)
    dvc(root, "commit", "--quiet", "--force", stage)


def _copy(old: Path, new: Path) -> None:
    """Copy a file or a folder; what was there goes."""
    if old.is_dir():
        shutil.rmtree(new, ignore_errors=True)
        shutil.copytree(old, new)
    elif old.is_file():
        with old.open("rb") as source, atomic_write(new) as target:
            shutil.copyfileobj(source, target)
    else:
        raise UserError(f"{old}: missing")


def _compare(run: str, path: Path, here: Mapping[str, Any]) -> None:
    """Refuse a training that was asked to do something else than it would be here."""
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
        asked = json.loads(json.dumps(here))  # as it is written: tuples are lists
        differing = []
        for key in asked:
            one, two = made.get(key), asked[key]
            if one != two and isinstance(one, dict) and isinstance(two, dict):
                names = sorted(name for name in one | two if one.get(name) != two.get(name))
                differing += [f"{key}.{name}" for name in names]
            elif one != two:
                differing.append(key)
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged") from error
    if differing:
        raise UserError(f"{run}: {path} was made with other {', '.join(differing)} than are here")


def check_publishable(config: Config) -> None:
    """Refuse what the repository must not hold.

    Raises:
        UserError: photographs of real people, or others' weights.
    """
    tables = "`dfpg publish NAME` keeps the tables alone"
    for where, source in sources(config).items():
        own = set(source.split(JOIN)) - {EMBEDDED}
        if own:
            raise UserError(
                f"{PARAMS}: {where}: {min(own)}: photographs of real people must not get into the "
                f"repository: {tables}"
            )
    theirs = [f"runs.{name}.weights" for name, run in config.runs.items() if run.weights]
    theirs += ["prior.vggface"] if config.prior.vggface is not None else []
    if theirs:
        raise UserError(
            f"{PARAMS}: {theirs[0]}: others' weights must not get into the repository: {tables}"
        )
