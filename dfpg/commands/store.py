"""The store, DVC's default remote: a folder of the repository (``store/``) that holds the record.

``dvc.lock`` names what every stage made; the store has the bytes: weights, scores, and what they
were made from. What the lock names and the store lacks cannot be had, so :func:`keep` leaves no
such entry.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from dfpg.commands.doctor.report import format_duration
from dfpg.commands.dvc_calls import dvc, status
from dfpg.commands.dvc_stages import Stage, read_stages
from dfpg.commands.graph import COPY
from dfpg.commands.lock import LOCK, outputs, read_lock
from dfpg.commands.record import stale_stages
from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write
from dfpg.core.paths import ARTIFACTS
from dfpg.stages.code import describe_code

STORE = Path("store")
LIMIT_MB = 100.0  # git keeps every version for ever
NO_RECORD = (
    "no record of this version's trainings is in the store: `make graph` trains and scores all "
    "runs here (hours, which `dfpg doctor` estimates; it resumes), `make smoke` runs everything "
    "with tiny networks in minutes"
)


def current_stages(root: Path, stages: Mapping[str, Stage]) -> set[str]:
    """Stages on record with this code, data and parameters; ``artifacts/code`` has to be current.

    Outputs that are not here do not count against a stage.
    """
    stale = stale_stages(status(root))
    bad = {name for name, stage in stages.items() if name in stale or not stage.locked}
    return {name for name, stage in stages.items() if name not in bad and not stage.needs & bad}


def pull_record(root: Path, *targets: str) -> None:
    """Bring what the store has of the record, or of some files or stages of it.

    Raises:
        UserError: DVC cannot read the store, or would overwrite files that are not on record.
    """
    try:
        dvc(root, "pull", "--allow-missing", *targets)
    except UserError as error:
        if "unsaved files" not in str(error):
            raise
        raise UserError(
            "artifacts/ holds files that are not on record, of another profile's run, say: "
            "`dvc pull --force --allow-missing` puts the recorded ones in their place"
        ) from error


def pull_outputs(root: Path, wanted: Sequence[Path]) -> None:
    """Bring files and folders out of the store, or what is in them, where they are not here.

    Args:
        root: the project.
        wanted: from the root: outputs, folders of outputs, or files in an output that is a folder.

    Raises:
        UserError: there is no record of them.
    """
    stages = read_stages(root) if (root / LOCK).exists() else {}
    entries = read_lock(root).items()
    made = [Path(path) for name, entry in entries if name in stages for path in outputs(entry)]
    paths = [path for path in made if any(path.is_relative_to(one) for one in wanted)]
    paths += [one for one in wanted if any(one.is_relative_to(path) for path in made)]
    absent = sorted({str(path) for path in paths if not (root / path).exists()})
    if absent:
        pull_record(root, *absent)
    if any(not (root / path).exists() for path in (*wanted, *paths)):
        raise UserError(NO_RECORD)


def pull_missing(root: Path) -> None:
    """Bring out of the store what is not here; what differs from the record stays."""
    kept = {name for name, stage in read_stages(root).items() if stage.locked and stage.kept}
    absent = [
        path
        for name, changes in status(root).items()
        if name in kept
        for change in changes
        if isinstance(change, dict)
        for path, state in change.get("changed outs", {}).items()
        if state in ("deleted", "not in cache")
    ]
    if absent:
        pull_record(root, *absent)


def keep(root: Path) -> str:
    """Put all that is current into the store, and nothing else; says how large the store is.

    Entries of ``dvc.lock`` whose outputs are lost, or whose stage is no more, are taken out of it.

    Raises:
        UserError: the store is too large.
    """
    current = current_stages(root, read_stages(root))
    dvc(root, "push", *sorted(current))
    _forget(root)
    drop_unused(root)
    files = [path for path in (root / STORE).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    text = f"{STORE}: {size:.1f} MB in {len(files)} files"
    if size > LIMIT_MB:
        raise UserError(f"{text}: over {LIMIT_MB:g} MB: choose narrower networks")
    return text


def _forget(root: Path) -> None:
    """Take out of ``dvc.lock`` what is lost, and stages that ``dvc.yaml`` has no more.

    What is in DVC's run cache is not run again for that.
    """
    stages = read_stages(root)
    lost = {name for name, stage in stages.items() if stage.locked and not stage.kept}
    yaml = YAML()
    lock = yaml.load(root / LOCK)
    for name in list(lock["stages"]):
        if name not in stages or name in lost:
            del lock["stages"][name]
    with atomic_write(root / LOCK) as stream:
        yaml.dump(lock, stream)
    (root / COPY).unlink(missing_ok=True)  # of the lock as it was


def drop_unused(root: Path) -> None:
    """Delete from the store what the current record does not use; DVC's own cache stays as it is.

    ``dvc gc --cloud`` deletes from the cache, too, where experiments are. It is given another one.
    """
    from dvc.repo import Repo

    with (
        TemporaryDirectory(prefix="dfpg.") as cache,
        Repo(str(root), config={"cache": {"dir": cache}}) as repo,
    ):
        logging.disable(logging.WARNING)  # of every stage that has not run yet
        try:
            repo.gc(workspace=True, cloud=True, force=True)
        finally:
            logging.disable(logging.NOTSET)


def pull_hint(run: str, out: Path) -> str | None:
    """What to say before a training whose weights are in the store; None where they are not.

    Args:
        run: key in ``runs``.
        out: folder that gets the weights; only those of the record can be pulled.
    """
    path = ARTIFACTS / "weights" / f"{run}.safetensors"
    if out != ARTIFACTS or path.exists():
        return None
    config = load_config()
    entry = read_lock(Path()).get(f"train@{run}")
    if run not in config.runs or entry is None or not _is_current(config, run, entry):
        return None
    if not all(_is_stored(digest) for digest in outputs(entry).values()):
        return None
    from dfpg.commands.doctor.forecast import forecast_trainings

    span = forecast_trainings(config, [run], 1)
    takes = (
        f"{format_duration(span[0])} to {format_duration(span[1])} here" if span else "much longer"
    )
    return (
        f"train {run}: its weights are on record: `dvc pull` brings them in seconds, "
        f"training takes {takes}. Training."
    )


def _is_current(config: Config, run: str, entry: Mapping[str, Any]) -> bool:
    """Whether a training on record is of this code and these parameters."""
    name = f"train/{run}.json"
    code = hashlib.md5(describe_code(config)[name].encode(), usedforsecurity=False).hexdigest()
    recorded = {dep["path"]: dep.get("md5") for dep in entry.get("deps", [])}
    values = YAML(typ="safe").load(PARAMS.read_text(encoding="utf-8"))
    asked = entry.get("params", {}).get(str(PARAMS), {})
    same = all(_value(values, key) == value for key, value in asked.items())
    return same and recorded.get(f"artifacts/code/{name}") == code


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _is_stored(digest: str) -> bool:
    return (STORE / "files" / "md5" / digest[:2] / digest[2:]).exists()
