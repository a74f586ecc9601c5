"""``dvc.lock``: what every stage was run with, and what it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

LOCK = Path("dvc.lock")
FOLDER = ".dir"  # ends DVC's hash of a folder


def read_lock(root: Path) -> dict[str, dict[str, Any]]:
    """The stages in a project's ``dvc.lock``, by name; none where there is no such file."""
    path = root / LOCK
    return lock_entries(path.read_text(encoding="utf-8")) if path.exists() else {}


def lock_entries(text: str) -> dict[str, dict[str, Any]]:
    """The stages in the text of a ``dvc.lock``, by name."""
    return dict((YAML(typ="safe").load(text) or {}).get("stages", {}))


def outputs(entry: Mapping[str, Any] | None) -> dict[str, str]:
    """Hashes of a stage's outputs in ``dvc.lock``, by path."""
    return {out["path"]: out.get("md5", "") for out in (entry or {}).get("outs", [])}


def other_inputs(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Stages of ``dvc.lock`` that read something else than the other stages made, and what.

    In a fresh clone ``dvc status`` cannot see that: nothing is there to compare with. A folder that
    several stages write into is compared as a whole, so that files of runs which the profile has
    no more show, too.

    Args:
        entries: of ``dvc.lock``, by stage.
    """
    made = {path: md5 for entry in entries.values() for path, md5 in outputs(entry).items()}
    found = {}
    for name, entry in entries.items():
        what = []
        for dep in entry.get("deps", []):
            path, digest = dep["path"], dep.get("md5")
            inside = {out: made[out] for out in made if out.startswith(f"{path}/")}
            if path in made:
                expected = made[path]
            elif inside and not any(one.endswith(FOLDER) for one in inside.values()):
                expected = folder_digest({out[len(path) + 1 :]: inside[out] for out in inside})
            else:
                continue
            if digest != expected:
                what.append(f"{path} (not as the stages before made it)")
        if what:
            found[name] = [f"changed deps: {', '.join(what)}"]
    return found


def folder_digest(files: Mapping[str, str]) -> str:
    """DVC's hash of a folder: the MD5 of the list of its files.

    Args:
        files: MD5 of each file, by its path in the folder.
    """
    listed = [{"md5": files[path], "relpath": path} for path in sorted(files, key=_parts)]
    text = json.dumps(listed, sort_keys=True)
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}{FOLDER}"


def _parts(path: str) -> list[str]:
    return path.split("/")
