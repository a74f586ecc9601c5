"""What photographs are at hand, and which parts of the profile they fill."""

from __future__ import annotations

from dfpg.core.config import Config
from dfpg.core.errors import UserError, escape_text
from dfpg.data.faces.dataset import EMBEDDED, JOIN
from dfpg.data.faces.readers import open_source
from dfpg.data.faces.source import SPLITS, Source, choose


def check_data(config: Config) -> tuple[str, bool]:
    """Describe every source of photographs that ``params.yaml`` names.

    Lists and file names are read, and one picture of each set; ``dfpg faces prepare`` reads all.

    Returns:
        The text, and whether everything that the profile uses is there.
    """
    lines, complete = [], True
    uses = _uses(config)
    tests = {}
    for name, settings in config.faces.items():
        used = uses.pop(name, [])
        role = ", ".join(used) if used else "nothing in this profile"
        try:
            source = open_source(name, settings)
            kept = choose(source.index, settings.train)
            source.frame(str(kept["file"].iloc[0]))
        except UserError as error:
            lines.append(f"{name}: {error}\n  would fill: {role}")
            complete &= not used
            continue
        tests[name] = int((kept["split"] == "test").sum())
        lines.append(f"{name}: {_describe(source, settings.train)}\n  fills: {role}")
    for name, used in uses.items():
        if name == EMBEDDED:
            what = "generated people, part of the repository"
            lines.append(f"{name}: {what}\n  fills: {', '.join(used)}")
    shortages = _shortages(config, tests)
    return "\n".join([*lines, *shortages]), complete and not shortages


def _describe(source: Source, train: int | None) -> str:
    index = source.index
    kept = choose(index, train)["split"].value_counts()
    counts = index["split"].value_counts()
    whole = f" of {source.size}" if source.size else ""
    numbers = ", ".join(f"{split} {counts.get(split, 0)}" for split in SPLITS)
    fewer = ", ".join(
        f"{split} {kept.get(split, 0)}"
        for split in SPLITS
        if kept.get(split, 0) != counts.get(split, 0)
    )
    people = f"{index['person'].nunique()} people" if source.identities else "no identities"
    return (
        f"{source.title} at {escape_text(source.pictures)}\n"
        f"  {len(index)} pictures{whole}, {people}; {numbers}"
        + (f"; used of them: {fewer}" if fewer else "")
        + (f"\n  {source.remark}" if source.remark else "")
        + f"\n  split: {source.rule}"
        f"\n  masks: {'yes' if source.masks else 'no'}; terms: {source.terms}"
    )


def _uses(config: Config) -> dict[str, list[str]]:
    """What each source is used for, by its name."""
    uses: dict[str, list[str]] = {}
    for name, protocol in config.protocols.items():
        for source in protocol.source.split(JOIN):
            uses.setdefault(source, []).append(f"training of protocol {name}")
        for subset, settings in protocol.test.subsets.items():
            uses.setdefault(settings.source, []).append(f"test slot {name}.{subset}")
    for source in config.prior.source.split(JOIN):
        uses.setdefault(source, []).append("people of the prior network")
    return uses


def _shortages(config: Config, tests: dict[str, int]) -> list[str]:
    """Protocols whose slots ask for more test faces than a source has."""
    found = []
    for name, protocol in config.protocols.items():
        sources = [subset.source for subset in protocol.test.subsets.values()]
        for source in sorted(set(sources) & tests.keys()):
            wanted = protocol.test.faces_per_subset * sources.count(source)
            if tests[source] < wanted:
                found.append(
                    f"too few: protocol {name} needs {wanted} test faces of {source}, it has "
                    f"{tests[source]}: add pictures or lower faces_per_subset"
                )
    return found
