"""``dfpg record check``: whether the committed results are this code's, with this data and params.

DVC knows what every stage was run with (``dvc.lock``). In a fresh clone nothing that git leaves out
is there, so what is merely missing is no fault; what differs is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dfpg.commands.dvc_calls import dvc, status
from dfpg.commands.dvc_stages import read_stages
from dfpg.commands.lock import other_inputs, read_lock

MISSING = ("deleted", "not in cache")
DECLARATION = Path("results/STALE.md")
MEND = "`make record` makes them again; `make relock` is enough where comments alone changed"


@dataclass(frozen=True)
class Check:
    """What was found.

    Attributes:
        stale: per stage, what differs from what it was run with.
        lost: stages whose outputs ``dvc.lock`` names and the store lacks.
        declared: what ``results/STALE.md`` says.
    """

    stale: dict[str, list[str]] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    declared: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the record is whole, or says itself that it is not."""
        return bool(self.stale or self.lost) == (self.declared is not None)

    def __str__(self) -> str:
        """Lines for a person: the verdict first."""
        lines = [f"{name}: {', '.join(what)}" for name, what in sorted(self.stale.items())]
        if self.lost:
            lines.append(f"in dvc.lock and not in the store: {', '.join(self.lost)}")
        if not lines and self.declared is None:
            return "the record belongs to this code, data and params.yaml"
        if not lines:
            return f"the record is whole again: delete {DECLARATION}"
        if self.declared is not None:
            return "\n".join([f"stale, as {DECLARATION} says: {self.declared}", *lines])
        return "\n".join([f"results/ and dvc.lock are not this code's: {MEND}", *lines])


def check_record(root: Path = Path()) -> Check:
    """Compare ``dvc.lock`` with code, data, parameters, results and store.

    Writes ``artifacts/code``.

    Args:
        root: the project.

    Raises:
        UserError: DVC cannot read the project.
    """
    dvc(root, "repro", "--quiet", "code")
    found = status(root)
    declaration = root / DECLARATION
    declared = None
    if declaration.is_file():
        declared = declaration.read_text(encoding="utf-8").strip().splitlines()[0].lstrip("# ")
    stages = read_stages(root)
    lost = tuple(name for name, stage in stages.items() if stage.locked and not stage.kept)
    entries = {name: entry for name, entry in read_lock(root).items() if name in stages}
    stale = other_inputs(entries) | stale_stages(found)
    return Check(stale, lost, declared)


def stale_stages(found: dict[str, list[Any]]) -> dict[str, list[str]]:
    """What differs, by stage, of what ``dvc status --json`` found; missing files do not count."""
    stale = {}
    for stage, changes in found.items():
        what = []
        for change in changes:
            if not isinstance(change, dict):
                what.append(str(change))
                continue
            for kind, entries in change.items():
                what += _describe_changes(kind, entries)
        if what:
            stale[stage] = what
    return stale


def _describe_changes(kind: str, entries: Any) -> list[str]:
    found = []
    for name, state in entries.items():
        if isinstance(state, dict):  # parameters, by file
            found += [f"{key} ({value})" for key, value in sorted(state.items())]
        elif state not in MISSING or name.startswith("results/"):
            found.append(f"{name} ({state})")
    return [f"{kind}: {', '.join(found)}"] if found else []
