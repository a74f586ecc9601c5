"""``dfpg analyse``: ``results/`` made again from recorded scores, and compared byte for byte."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dfpg.analysis.estimates import load_scores
from dfpg.analysis.records import csv_text
from dfpg.analysis.result_records import RobustnessRecord
from dfpg.analysis.robustness import curve_records, read_curve
from dfpg.analysis.tables import build_project_tables
from dfpg.commands.store import pull_outputs
from dfpg.core.config import Config
from dfpg.core.files import write_text
from dfpg.core.paths import ARTIFACTS, RESULTS
from dfpg.report.result_files import write_result_files

OUT = ARTIFACTS / "analysed"
# What the tables are made from.
SCORES = (
    "cost",
    "history",
    "per_image",
    "priors/card.json",
    "recognition",
    "references",
    "robustness",
)


@dataclass(frozen=True)
class Analysis:
    """Names of the files made, and of those that differ from ``results/``."""

    files: tuple[str, ...]
    differing: tuple[str, ...]

    def __str__(self) -> str:
        """Lines for a person."""
        lines = [f"differs: {RESULTS / name}" for name in self.differing]
        same = len(self.files) - len(self.differing)
        lines.append(f"{same} of {len(self.files)} files are byte for byte as in {RESULTS}: {OUT}")
        return "\n".join(lines)


def analyse(config: Config) -> Analysis:
    """Tables, intervals, claims and the rest of ``results/``, into ``artifacts/analysed``.

    Scores that are not here are fetched from the store. What the scores do not say (machine and
    versions, throughput, records of other runs) is left out.

    Args:
        config: of ``params.yaml``.

    Raises:
        UserError: scores are missing in the store, too, or damaged.
    """
    pull_outputs(Path(), [ARTIFACTS / name for name in SCORES])
    shutil.rmtree(OUT, ignore_errors=True)
    build_project_tables(config, OUT)
    write_result_files(config, load_scores(config, ARTIFACTS / "per_image"), OUT)
    folder = ARTIFACTS / "robustness"
    curve = curve_records(config, read_curve(config, folder), folder)
    write_text(OUT / "robustness.csv", csv_text(RobustnessRecord, curve))
    made = sorted(path.relative_to(OUT) for path in OUT.rglob("*") if path.is_file())
    return Analysis(
        tuple(map(str, made)), tuple(str(name) for name in made if not _is_as_recorded(name))
    )


def _is_as_recorded(name: Path) -> bool:
    recorded = RESULTS / name
    return recorded.is_file() and recorded.read_bytes() == (OUT / name).read_bytes()
