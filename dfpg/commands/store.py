"""The record of trainings in the store, DVC's default remote: fetch it, make it, keep it small.

The store is a folder of the repository (``store/``): weights, scores, and what they were made from.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from dfpg.commands.doctor.report import format_duration
from dfpg.commands.dvc_calls import dvc
from dfpg.commands.graph import LOCK, graph
from dfpg.commands.record import check_record
from dfpg.core.config import PARAMS, Config, load_config, sources
from dfpg.core.errors import UserError
from dfpg.core.paths import ARTIFACTS
from dfpg.data.faces.dataset import EMBEDDED, JOIN
from dfpg.stages.code import describe_code
from dfpg.stages.fetch import fetch

STORE = Path("store")
LIMIT_MB = 100.0  # git keeps every version for ever
NO_RECORD = (
    "no record of this version's trainings is in the store: `make smoke` runs everything with tiny "
    "networks in minutes, `make retrain` trains the runs, `make record` makes a record"
)


def pull_record(root: Path, *targets: str) -> None:
    """Bring the record, or some of its files, out of the store.

    Raises:
        UserError: the store does not have them.
    """
    try:
        dvc(root, "pull", "--quiet", *targets)
    except UserError as error:
        raise UserError(NO_RECORD) from error


def fetch_record(root: Path = Path()) -> str:
    """Bring the record out of the store, and show that it belongs to this code; trains nothing.

    Fetches the assets, too, where they are not there.

    Raises:
        UserError: there is no record, or it is of other code, data or parameters.
    """
    pull_record(root)
    fetch()
    check = check_record(root)
    if check.stale:
        stages = ", ".join(f"{name} ({'; '.join(what)})" for name, what in check.stale.items())
        raise UserError(
            f"the record is not of this code, data and {PARAMS}: {stages}: "
            "`dfpg graph` makes anew what differs"
        )
    if "Running stage" in dvc(root, "repro"):
        return "the record is here; what is not kept in the store was made again"
    return "the record is here, and belongs to this code, data and params.yaml: nothing to do"


def make_record(config: Config, root: Path, jobs: int) -> str:
    """Bring everything up to date and keep it in the store; says what changed.

    Raises:
        UserError: the profile shows real people or uses others' weights, which the repository must
            not hold; a stage failed; the store is too large.
    """
    _check_publishable(config)
    before = _lock_entries(_git(root, "show", f"HEAD:{LOCK}"))
    lines = [graph(root, jobs)]
    dvc(root, "push", "--quiet")
    drop_unused(root)
    after = _lock_entries((root / LOCK).read_text(encoding="utf-8"))
    changed = sorted(name for name in after if _outputs(after[name]) != _outputs(before.get(name)))
    lines.append(f"made anew since the last commit: {', '.join(changed) or 'nothing'}")
    lines.append(dvc(root, "metrics", "diff", "--md").strip() or "no metric changed")
    check = check_record(root)
    files = [path for path in (root / STORE).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    lines += [str(check), f"{STORE}: {size:.1f} MB in {len(files)} files"]
    if size > LIMIT_MB:
        text = "\n".join(lines)
        raise UserError(f"{text}\n{STORE}: over {LIMIT_MB:g} MB: choose narrower networks")
    lines.append(f"to keep it: git add {STORE} {LOCK} results && git commit")
    return "\n".join(lines)


def drop_unused(root: Path) -> None:
    """Delete from the store what the current record does not use; DVC's own cache stays as it is.

    ``dvc gc --cloud`` deletes from the cache, too, where experiments are. It is given another one.
    """
    from dvc.repo import Repo

    with (
        TemporaryDirectory(prefix="dfpg.") as cache,
        Repo(str(root), config={"cache": {"dir": cache}}) as repo,
    ):
        repo.gc(workspace=True, cloud=True, force=True)


def pull_hint(run: str, out: Path) -> str | None:
    """What to say before a training whose weights are in the store; None where they are not.

    Args:
        run: key in ``runs``.
        out: folder that gets the weights; only those of the record can be pulled.
    """
    path = ARTIFACTS / "weights" / f"{run}.safetensors"
    if out != ARTIFACTS or path.exists() or not LOCK.exists():
        return None
    config = load_config()
    entry = _lock_entries(LOCK.read_text(encoding="utf-8")).get(f"train@{run}")
    if run not in config.runs or entry is None or not _is_current(config, run, entry):
        return None
    outputs = _outputs(entry)
    if not all(_in_store(digest) for digest in outputs.values()):
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


def _in_store(digest: str) -> bool:
    return (STORE / "files" / "md5" / digest[:2] / digest[2:]).exists()


def _lock_entries(text: str) -> dict[str, dict[str, Any]]:
    return dict((YAML(typ="safe").load(text) or {}).get("stages", {}))


def _outputs(entry: Mapping[str, Any] | None) -> dict[str, str]:
    return {out["path"]: out.get("md5", "") for out in (entry or {}).get("outs", [])}


def _check_publishable(config: Config) -> None:
    """Refuse what the repository must not hold."""
    for where, source in sources(config).items():
        own = set(source.split(JOIN)) - {EMBEDDED}
        if own:
            raise UserError(
                f"{PARAMS}: {where}: {min(own)}: photographs of real people must not get into the "
                "repository: `dfpg publish NAME` keeps the tables alone"
            )
    for name, run in config.runs.items():
        if run.weights is not None:
            raise UserError(
                f"{PARAMS}: runs.{name}.weights: others' weights must not get into the repository: "
                "`dfpg publish NAME` keeps the tables alone"
            )
    if config.prior.vggface is not None:
        raise UserError(
            f"{PARAMS}: prior.vggface: others' weights must not get into the repository: "
            "`dfpg publish NAME` keeps the tables alone"
        )


def _git(root: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return result.stdout if not result.returncode else ""
