"""Keep a run of another profile as a record in ``results/NAME``: its text files, no pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import FOLDER_NAME, atomic_folder, read_json, write_text

TEXT = (".csv", ".json", ".md", ".tex")
ELSEWHERE = ("seeds.csv", "throughput-*.csv")  # of several trainings, of a machine
RESERVED = ("metrics", "seeds")  # folders of results/ that are no records of this kind
PROJECT = ("params.yaml", "dvc.lock")
ARTIFACTS = {
    "history": "*.csv",  # training curves
    "cost": "*.json",  # seconds and device of every training
    "per_image": "*.csv",  # scores of every image, for `dfpg seeds`
    "recognition": "*.csv",  # what was seen in every image of Table 3, for the claims' seeds
}


def publish(config: Config, name: str, root: Path = Path(), force: bool = False) -> str:
    """Copy the tables in ``results/`` to ``results/NAME``, with what they were made of.

    Beside the tables stand ``params.yaml``, ``dvc.lock``, ``environment.json``, curve, seconds and
    device of every training, and the scores of every image. Pictures are left out: they may show
    real people. So are studies of another profile or seed, and what belongs to no single run:
    tables over several seeds, and throughput.

    Args:
        config: of ``params.yaml``.
        name: of the folder: lower-case letters, digits, ``-`` and ``_``.
        root: the project's root.
        force: replace a record of that name, of the same profile and seed.

    Returns:
        One line: where, and how many files.

    Raises:
        UserError: the name is none, or taken, be it by a record of another profile or seed; a
            file is missing or no text, or ``results/`` is of another profile or seed than
            ``params.yaml``. Nothing is written then.
    """
    results = root / "results"
    target = results / name
    if not FOLDER_NAME.fullmatch(name):
        raise UserError(f"publish {name!r}: use lower-case letters, digits, - and _")
    if name in RESERVED:
        raise UserError(f"{target}: is kept for something else: choose another name")
    if target.exists():
        _refuse_other_record(config, target)
        if not force:
            raise UserError(f"{target}: is there already: choose another name, or add --force")
    files = _files(config, root)
    with atomic_folder(target) as record:
        for place, text in files.items():
            write_text(record / place, text)
    return f"{target}: {len(files)} files of profile {config.profile}, seed {config.seed}"


def _refuse_other_record(config: Config, target: Path) -> None:
    """Refuse to replace what is no record of this profile and seed."""
    made_by = _environment(target / "environment.json", "choose another name")
    profile, seed = made_by.get("profile"), made_by.get("seed")
    if (profile, seed) != (config.profile, config.seed):
        raise UserError(
            f"{target}: holds a record of profile {profile}, seed {seed}, and this one is of "
            f"{config.profile}, seed {config.seed}: choose another name"
        )


def _files(config: Config, root: Path) -> dict[str, str]:
    """What belongs to the record: place in it -> text."""
    results = root / "results"
    made_by = _environment(results / "environment.json", "run `dvc repro` first")
    wanted = {"profile": config.profile, "seed": config.seed}
    for key, value in wanted.items():
        if made_by.get(key) != value:
            raise UserError(
                f"{results}: made with {key} {made_by.get(key)}, params.yaml says {value}: "
                "run `dvc repro` first"
            )
    texts = {path: _read(path) for path in sorted(results.iterdir()) if path.suffix in TEXT}
    found = {path.name: text for path, text in texts.items() if _belongs(path, text, wanted)}
    for name in ("table1.csv", "table2.csv", "table3.csv", "table4.csv"):
        if name not in found:
            raise UserError(f"{results / name}: missing; run `dvc repro` first")
    for name in PROJECT:
        if not (root / name).is_file():
            raise UserError(f"{root / name}: missing; run this in the project's root")
        found[name] = _read(root / name)
    for folder, pattern in ARTIFACTS.items():
        parts = sorted((root / "artifacts" / folder).glob(pattern))
        if not parts:
            raise UserError(f"{root / 'artifacts' / folder}: no {pattern}; run `dvc repro` first")
        found |= {f"{folder}/{path.name}": _read(path) for path in parts}
    return found


def _belongs(path: Path, text: str, wanted: Mapping[str, object]) -> bool:
    """Whether a file is of this run: no line of its text names another profile or seed."""
    if any(path.match(pattern) for pattern in ELSEWHERE):
        return False
    if path.suffix != ".csv":
        return True
    try:
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise UserError(f"{path}: damaged; run `dvc repro` again") from error
    return all(
        line.get(key) in (None, str(value)) for line in lines for key, value in wanted.items()
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read; run `dvc repro` again") from error


def _environment(path: Path, advice: str) -> dict[str, object]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: missing or damaged: {advice}") from error
    return found if isinstance(found, dict) else {}
