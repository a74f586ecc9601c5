"""A table's CSV as Markdown in the paper's layout, for terminals and the README."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from dfpg.core.errors import UserError
from dfpg.core.paths import RESULTS
from dfpg.paper.tables import DECIMALS, TABLES

HEADINGS = {
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "d_vgg": "d_VGG ↓",
    "lpips": "LPIPS ↓",
    "detection_pct": "detection, dlib HOG (%) ↑",
    "detection_scrfd_pct": "detection, SCRFD (%) ↑",
    "verification_acc_pct": "verification, lab (%) ↑",
    "verification_strict_acc_pct": "verification, strict (%) ↑",
}
TEST_SETS = {
    "shen": "Shen test set",
    "mspl_center": "MSPL-Center",
    "mspl_random": "MSPL-Random",
}


def render(path: Path) -> str:
    """Markdown of one results table: a part per column group, one line per row.

    A cell reads ``value [low, high] (published)``; a row without values gives its reason. Trained
    rows say with how many images and, from ``training.csv`` beside the table, in how many seconds.

    Raises:
        UserError: the file is missing or is no table of results.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, dict[str, str]]]] = {}
    try:
        for record in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
            rows = groups.setdefault((record["protocol"], record["subset"]), {})
            rows.setdefault(record["row"], {})[record["metric"]] = record
        titles = {table.name: table.title for table in TABLES}
        parts = [f"**{titles[path.stem]}** (value [interval] (published value))"]
        seconds = _seconds(path.with_name("training.csv"))
        parts += [_group(*group, rows, seconds) for group, rows in groups.items()]
    except (OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: no table of results; run the tables stage first") from error
    return "\n\n".join(parts) + "\n"


def _seconds(training: Path) -> dict[str, str]:
    """Training time of each run that has one, in seconds."""
    records = csv.DictReader(training.read_text(encoding="utf-8").splitlines())
    return {
        record["run"]: f"{float(record['seconds']):.0f}" for record in records if record["seconds"]
    }


def _group(
    protocol: str,
    subset: str,
    rows: dict[str, dict[str, dict[str, str]]],
    seconds: dict[str, str],
) -> str:
    metrics = list(next(iter(rows.values())))
    sources = {cell["source"] for cells in rows.values() for cell in cells.values()} - {""}
    title = f"{TEST_SETS[protocol]}, {'; '.join(sorted(sources)) or subset}"
    lines = [
        _line(["row", *(HEADINGS[metric] for metric in metrics), "trained on", "note"]),
        _line(["---"] * (len(metrics) + 3)),
    ]
    for name, cells in rows.items():
        notes = {cell["reason"] for cell in cells.values() if not cell["value"]}
        notes |= {cell.get("note", "") for cell in cells.values()} - {""}
        shown = [_cell(cells[metric]) for metric in metrics]
        lines.append(_line([name, *shown, _trained(cells, seconds), "; ".join(sorted(notes))]))
    return f"{title}\n\n" + "\n".join(lines)


def _trained(cells: dict[str, dict[str, str]], seconds: dict[str, str]) -> str:
    cell = next(iter(cells.values()))
    if not cell["train_images"]:
        return ""
    images = f"{int(cell['train_images']):,} images"
    return f"{images}, {seconds[cell['run']]} s" if cell["run"] in seconds else images


def _cell(record: dict[str, str]) -> str:
    digits = DECIMALS[record["metric"]]
    text = "-"
    if record["value"]:
        text = f"{float(record['value']):.{digits}f}"
    if record["ci_low"]:
        low, high = float(record["ci_low"]), float(record["ci_high"])
        text += f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{text} ({record['published']})" if record["published"] else text


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def show_tables() -> str:
    """The tables in ``results/`` in the paper's layout, as Markdown."""
    return "\n\n".join(render(RESULTS / f"{table.name}.csv") for table in TABLES)
