"""Tables of ``results/`` inside the README and the pages: written by a command, not by hand.

A page marks the place of a table by ``<!-- NAME -->`` and ``<!-- /NAME -->``; names are the keys of
:data:`PAGE_TABLES`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dfpg.analysis.floor import NOT_ABOVE
from dfpg.analysis.main_table import MainRecord
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import ClaimTestRecord, GainRecord, SeedRecord
from dfpg.analysis.study_records import BudgetRecord, MechanismRecord, ReadingRecord
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.markdown import markdown_table
from dfpg.core.paths import RESULTS
from dfpg.paper.claims import allowed_margin
from dfpg.paper.readings import wording
from dfpg.paper.tables import BASELINES, CLASSICAL, TABLES, TEST_SETS
from dfpg.report.markdown import bracketed, render_claims
from dfpg.report.table_layout import BELOW_FLOOR

PAGES = (
    Path("README.md"),
    Path("docs/claims.md"),
    Path("docs/evidence.md"),
    Path("docs/other_records.md"),
)
# What a table is of, and for another record than that in results/ itself, its folder there.
BLOCK = re.compile(
    r"(<!-- (?P<name>[a-z-]+)(?: of (?P<record>[a-z0-9_-]+))? -->\n).*?(<!-- /(?P=name) -->)",
    re.DOTALL,
)
LEVELS = ("1", "2", "3")
DIGITS = {"psnr": 2, "ssim": 4}  # metrics of the ablation, decimals


def fill_pages(root: Path, results: Path = RESULTS) -> list[Path]:
    """Write the tables of a results folder into the pages; those that changed.

    Args:
        root: the project.
        results: folder with the CSV files, relative to ``root``.

    Raises:
        UserError: a page or a file of results is missing or damaged.
    """
    changed = []
    for page in PAGES:
        try:
            old = (root / page).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"{page}: cannot be read") from error
        new = fill(old, root / results)
        if new != old:
            write_text(root / page, new)
            changed.append(page)
    return changed


def fill(text: str, results: Path) -> str:
    """A page's text with today's tables between its marks; what lies outside stays.

    Raises:
        UserError: a file of results is missing or damaged.
    """

    def table(found: re.Match[str]) -> str:
        make = PAGE_TABLES.get(found["name"])
        if make is None:
            return found[0]
        return f"{found[1]}{make(results / (found['record'] or '')).strip()}\n{found[4]}"

    return BLOCK.sub(table, text)


def gains_table(results: Path) -> str:
    """Every network's gain on every test set, largest first; the filters among them.

    In the order of the second test set, MSPL-Center; of rows that it lacks, of the first.
    """
    return _gains([record for record in _main(results) if record.role != "input"])


def floor_table(results: Path) -> str:
    """The fixed filter and the one that knows the kernel, on every test set."""
    return _gains([record for record in _main(results) if record.row in CLASSICAL])


def _main(results: Path) -> list[MainRecord]:
    return read_records(MainRecord, results / "main.csv")


def _gains(records: Sequence[MainRecord]) -> str:
    test_sets = list(dict.fromkeys(record.test_set for record in records))
    rows: dict[str, dict[str, MainRecord]] = {}
    for record in records:
        rows.setdefault(record.row, {})[record.test_set] = record

    def leading(row: str) -> float:
        return next(
            rows[row][name].gain for name in (*test_sets[1:2], *test_sets) if name in rows[row]
        )

    return markdown_table(
        ["PSNR over blurred, dB", *(TEST_SETS[name].title for name in test_sets)],
        [
            [_row_name(row), *(_gain(rows[row].get(name)) for name in test_sets)]
            for row in sorted(rows, key=leading, reverse=True)
        ],
    )


def _row_name(row: str) -> str:
    if row in CLASSICAL:
        return f"*{row}*"
    return row.upper().replace("_", "-") if row.startswith("dfpg") else row


def _gain(record: MainRecord | None) -> str:
    if record is None:
        return ""
    mark = f" {BELOW_FLOOR}" if record.floor == NOT_ABOVE else ""
    return bracketed(record.gain, record.ci_low, record.ci_high) + mark


def mechanism_table(results: Path) -> str:
    """DFPGnet's prior stream on every level, and its discriminator, training by training."""
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for record in read_records(MechanismRecord, results / "mechanisms.csv"):
        training = record.run, str(record.seed)
        values = record.value, record.ci_low, record.ci_high
        if record.measure == "prior_cosine_gain":
            rows.setdefault(training, {})[record.part] = bracketed(*values, digits=3)
        if record.measure == "discriminator_auc" and training in rows:
            rows[training]["auc"] = bracketed(*values)
    return markdown_table(
        ["", "seed", *(f"cosine gain, level {level}" for level in LEVELS), "AUC of D"],
        [
            [run, seed, *(found.get(part, "") for part in (*LEVELS, "auc"))]
            for (run, seed), found in sorted(rows.items())
        ],
    )


def ablation_table(results: Path) -> str:
    """Every comparison of the ablation, as the paper claims it: effect, and what came of it."""
    rows: dict[tuple[str, str], dict[str, ClaimTestRecord]] = {}
    for record in read_records(ClaimTestRecord, results / "claim_tests.csv"):
        if record.table == TABLES[-1].name:
            rows.setdefault((record.better, record.worse), {})[record.metric] = record
    lines = []
    for (better, worse), found in rows.items():
        cells = [_difference(found[metric], digits) for metric, digits in DIGITS.items()]
        seeds = found["psnr"].n_seeds
        outcomes = dict.fromkeys(record.outcome for record in found.values())
        lines.append([_pair(better, worse), *cells, str(seeds or ""), ", ".join(outcomes)])
    return markdown_table(["", "PSNR, dB", "SSIM", "seeds", "outcome"], lines)


def _difference(effect: ClaimTestRecord | BudgetRecord | ReadingRecord, digits: int = 2) -> str:
    """The difference of two rows with its interval: a margin that the claim allows is not in it."""
    return bracketed(*_less_margin(effect), digits)


def _less_margin(
    effect: ClaimTestRecord | BudgetRecord | ReadingRecord,
) -> tuple[float, float, float]:
    margin = allowed_margin(effect.better, effect.worse, effect.metric)
    return effect.effect - margin, effect.ci_low - margin, effect.ci_high - margin


def budget_table(results: Path) -> str:
    """Effects of the ablation on PSNR against the images seen, mean over MSPL-Center's subsets."""
    rows: dict[int, dict[str, str]] = {}
    for record in read_records(BudgetRecord, results / "budget.csv"):
        ours = (record.test_set, record.subset, record.metric) == ("mspl_center", "mean", "psnr")
        if ours and record.images:
            pair = _pair(record.better, record.worse)
            rows.setdefault(record.images, {})[pair] = _difference(record)
    return _pivot("images", {f"{images:,}": found for images, found in sorted(rows.items())})


def reading_table(results: Path) -> str:
    """Effects of the ablation on PSNR under every reading; in brackets those that may be zero."""
    rows: dict[str, dict[str, str]] = {}
    for record in read_records(ReadingRecord, results / "readings.csv"):
        if record.metric == "psnr":
            difference, low, high = _less_margin(record)
            value = bracketed(difference, math.nan, math.nan)
            found = rows.setdefault(wording(record.choice, record.answer), {})
            found[_pair(record.better, record.worse)] = f"({value})" if low <= 0 <= high else value
    return _pivot("reading", rows)


def _pivot(heading: str, rows: Mapping[str, Mapping[str, str]]) -> str:
    """A line per row, a column for everything that some row has; ``heading`` is the rows'."""
    columns = list(dict.fromkeys(column for found in rows.values() for column in found))
    lines = [[name, *(found.get(column, "") for column in columns)] for name, found in rows.items()]
    return markdown_table([heading, *columns], lines)


def variant_table(results: Path) -> str:
    """The ablation's networks: gain of the recorded training, and of several training seeds.

    Where a record has one seed, and so no ``seeds.csv``, the columns of several are left out.
    """
    file = results / "seeds.csv"
    several = read_records(SeedRecord, file) if file.exists() else []
    seeds = {
        record.row: record
        for record in several
        if _is_variant(record) and math.isfinite(record.seed_sd)
    }
    headings = ["one training"]
    headings += ["mean over seeds", "seeds", "their standard deviation"] if seeds else []
    lines = []
    for record in read_records(GainRecord, results / "gains.csv"):
        if not _is_variant(record):
            continue
        # B1 to B6 are the paper's; the others have the names of their runs.
        name = record.row if "_" in record.row else record.row.upper()
        line = [name, bracketed(record.gain, record.ci_low, record.ci_high)]
        if found := seeds.get(record.row):
            mean = bracketed(found.gain, found.gain_low, found.gain_high)
            line += [mean, str(found.n_seeds), f"{found.seed_sd:.3f}"]
        lines.append([*line, "", "", ""][: 1 + len(headings)])
    return markdown_table(["PSNR over blurred, dB", *headings], lines)


def _is_variant(record: GainRecord | SeedRecord) -> bool:
    ours = (record.table, record.subset, record.metric) == (TABLES[-1].name, "mean", "psnr")
    return ours and record.row not in (*BASELINES, *CLASSICAL)


def _pair(better: str, worse: str) -> str:
    return f"{better.upper()} over {worse.upper()}"


PAGE_TABLES: dict[str, Callable[[Path], str]] = {
    "claims": render_claims,
    "gains": gains_table,
    "floor": floor_table,
    "mechanisms": mechanism_table,
    "ablation": ablation_table,
    "readings": reading_table,
    "budgets": budget_table,
    "variants": variant_table,
}
