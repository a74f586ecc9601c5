"""The stages of ``dvc.yaml``: what each rests on, and what of it the default remote has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfpg.core.errors import UserError


@dataclass(frozen=True)
class Stage:
    """A stage of ``dvc.yaml``, as ``dvc.lock`` and the store know it.

    Attributes:
        command: what DVC runs.
        needs: all stages that it rests on.
        outputs: what it makes, from the root.
        locked: ``dvc.lock`` says what it made.
        cached: DVC keeps something of that.
        kept: the store has all of that, but what DVC does not keep (``cache: false``).
    """

    command: str
    needs: frozenset[str]
    outputs: tuple[str, ...]
    locked: bool
    cached: bool
    kept: bool


def read_stages(root: Path) -> dict[str, Stage]:
    """The stages of ``dvc.yaml`` by name, in its order.

    Raises:
        UserError: there is no default remote.
    """
    import networkx
    from dvc.config import NoRemoteError
    from dvc.repo import Repo

    found = {}
    with Repo(str(root)) as repo:
        try:
            remote = repo.cloud.get_remote_odb()
        except NoRemoteError as error:
            raise UserError(".dvc/config: no default remote: `git checkout .dvc/config`") from error
        for stage in repo.index.stages:
            kept = [out.hash_info for out in stage.outs if out.use_cache]
            found[_name(stage)] = Stage(
                str(stage.cmd),
                frozenset(map(_name, networkx.descendants(repo.index.graph, stage))),
                tuple(out.def_path for out in stage.outs),
                all(out.hash_info for out in stage.outs),
                bool(kept),
                # Of a folder it is enough to ask for its list, which is pushed last.
                all(one and remote.exists(one.value) for one in kept),
            )
    return found


def read_paths(root: Path) -> tuple[set[Path], set[Path]]:
    """Files and folders that the stages of ``dvc.yaml`` read, and those that they make."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        stages = list(repo.index.stages)
    read = {Path(dep.def_path) for stage in stages for dep in stage.deps}
    return read, {Path(out.def_path) for stage in stages for out in stage.outs}


def _name(stage: Any) -> str:
    return str(getattr(stage, "name", None) or stage.addressing)
