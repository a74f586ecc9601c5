"""Records of trainings that differ from those of the tables in their seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dfpg.core.config import PARAMS, Config, load_config
from dfpg.core.errors import UserError
from dfpg.core.paths import RESULTS

SEEDS = RESULTS / "seeds"  # one folder per seed, as `dfpg publish` writes them
# Sections that do not touch a training or its scores, or are compared run by run.
ASIDE = frozenset({"seed", "runs", "methods", "statistics", "recognition", "classical", "faces"})


class SeedFolder(NamedTuple):
    """One seed's record.

    Attributes:
        seed: of its trainings.
        config: the profile in use, with those runs alone that this record set alike.
        folder: with ``params.yaml``, ``history``, ``per_image`` and ``recognition``.
    """

    seed: int
    config: Config
    folder: Path


def fitting_seeds(config: Config, folder: Path | None) -> list[SeedFolder]:
    """Records in ``folder`` whose parameters are those in use, with another seed.

    Records of other settings are passed over, as are those of the profile's own seed and of one
    that another record had already. Of a fitting record the runs that are set alike count.

    Args:
        config: the profile in use.
        folder: of records; None: there is none.
    """
    found: dict[int, SeedFolder] = {}
    for place in sorted(folder.glob(f"*/{PARAMS}")) if folder else ():
        try:
            other = load_config(place)
        except UserError:  # a record of an earlier version
            continue
        runs = {
            name: run
            for name, run in other.runs.items()
            if config.runs.get(name) == run
            and config.methods[run.method] == other.methods[run.method]
        }
        if other.seed != config.seed and runs and _sections(other) == _sections(config):
            alike = config.model_copy(update={"runs": runs})
            found.setdefault(other.seed, SeedFolder(other.seed, alike, place.parent))
    return list(found.values())


def _sections(config: Config) -> dict[str, object]:
    return {name: getattr(config, name) for name in type(config).model_fields if name not in ASIDE}
