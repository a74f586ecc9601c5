"""Stage ``report``: from results and artifacts to one HTML file, and tables for other papers.

The page is no file for git: it holds faces, which with the user's own photographs are those of
real people, and megabytes of them. ``results/tables.md`` and ``tables.tex`` are text alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from dfpg.analysis.comparability import DEVIATES, MATCHES, NOT_COMPARABLE, WITHIN
from dfpg.analysis.estimates import load_scores
from dfpg.analysis.main_table import MainRecord
from dfpg.analysis.records import read_records
from dfpg.analysis.result_records import (
    ClaimRecord,
    DeviationRecord,
    RocRecord,
    VerificationRecord,
)
from dfpg.analysis.study_records import BudgetRecord, ReadingRecord
from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.paper.tables import TABLES, TEST_SETS
from dfpg.pretrained.assets.store import licences
from dfpg.report import chart_selection, curves
from dfpg.report.answers import answers, main_tables, scope, summary
from dfpg.report.facts import (
    CostRecord,
    claim_lines,
    cost_lines,
    run_facts,
    test_set_titles,
    value_with_interval,
)
from dfpg.report.loss_charts import loss_charts
from dfpg.report.page import numbered_items, render_page
from dfpg.report.plot_files import write_plots
from dfpg.report.result_files import write_result_files
from dfpg.report.study_charts import (
    budget_charts,
    claim_budgets,
    of_ablation,
    of_claims,
    read_study,
    reading_charts,
)
from dfpg.report.svg import share_styles
from dfpg.report.table_layout import BELOW_FLOOR, lay_out, read_tables
from dfpg.report.tiles import picture_uri, read_tiles

NO_VALUE_HERE = "no value here"
VERDICTS = (MATCHES, WITHIN, DEVIATES, NOT_COMPARABLE, NO_VALUE_HERE)
# Heading and decimals of the measures in verification.csv.
MEASURES = {
    "accuracy_pct": ("accuracy (%)", 2),
    "eer_pct": ("equal error rate (%)", 2),
    "auc": ("AUC", 3),
    "tar_at_far_1pct": ("true acceptance at 1 % false (%)", 2),
}
ERRATA = Path("docs/paper_errata.md")


def build_report(config: Config, artifacts: Path, results: Path, root: Path = Path()) -> None:
    """Write the page and the tables.

    The artifacts get ``report/report.html`` and the SVG files ``plots``, the results
    ``tables.md``, ``tables.tex`` and ``kernel_sizes.csv``.

    Args:
        config: the profile.
        artifacts: folder with ``per_image``, ``history`` and, if made, ``pictures``.
        results: what the stages ``tables`` and ``environment`` wrote.
        root: the project's root, for the paper's errata.

    Raises:
        UserError: a file is missing or damaged.
    """
    tables, trained, seconds, ranks = read_tables(results)
    laid_out = [lay_out(table, tables[table.name], seconds, ranks) for table in TABLES]
    scores = load_scores(config, artifacts / "per_image")
    sizes = write_result_files(config, scores, results)
    counted = artifacts / "pictures" / "costs.csv"
    costs = read_records(CostRecord, counted) if counted.exists() else []
    roc = read_records(RocRecord, results / "roc.csv")
    row_runs = {record.row: record.run for record in tables["table3"]}
    claims = read_records(ClaimRecord, results / "claims.csv")
    budgets = read_study(BudgetRecord, results / "budget.csv", config.profile)
    context: dict[str, Any] = {
        "facts": run_facts(config, results, trained),
        "profile": config.profile,
        "dagger": BELOW_FLOOR,
        "test_sets": {protocol: test_set_titles(protocol) for protocol in config.protocols},
        "level": f"{100 * config.statistics.level:g} %",
        "tables": laid_out,
        "verdicts": _verdicts(read_records(DeviationRecord, results / "deviations.csv")),
        "verdict_names": VERDICTS,
        "summary": summary(claims),
        "scope": scope(config, sorted({line.images for line in trained if line.images})),
        "answers": answers(claims),
        "main": main_tables(read_records(MainRecord, results / "main.csv")),
        "claims": claim_lines(claims),
        "readings": reading_charts(
            of_ablation(read_study(ReadingRecord, results / "readings.csv", config.profile))
        ),
        "budgets": budget_charts(of_ablation(budgets)),
        "claim_budgets": claim_budgets(of_claims(budgets)),
        "ranks": chart_selection.rankings(ranks),
        "forests": {
            table.name: chart_selection.forest_charts(config, table, tables) for table in TABLES
        },
        "ablation": chart_selection.ablation_charts(config, tables["table4"]),
        "sizes": {
            test_set.title: curves.size_charts(config, sizes, name)
            for name, test_set in TEST_SETS.items()
        },
        "tradeoffs": chart_selection.tradeoff_charts(config, scores, costs, seconds),
        "training": {
            name: curves.training_charts(config, artifacts / "history", name)
            | loss_charts(config, artifacts / "history", name)
            for name in config.protocols
        },
        "roc": curves.roc_charts(config, roc, row_runs),
        "verification": _verification(
            read_records(VerificationRecord, results / "verification.csv")
        ),
        "robustness": picture_uri(artifacts / "robustness" / "robustness.png"),
        "pictures": {
            name: read_tiles(artifacts / "pictures" / f"{name}.png") for name in config.protocols
        },
        "costs": cost_lines(costs, trained),
        "licences": licences(),
        "errata": numbered_items(_errata(root / ERRATA)),
    }
    write_text(artifacts / "report" / "report.html", share_styles(render_page(context)))
    shown = [*context["forests"].values(), context["ablation"]]
    shown += [found["gain"] for found in context["training"].values() if found]
    write_plots(artifacts / "plots", chain.from_iterable(shown))


def _errata(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read; restore it: git checkout -- {ERRATA}") from error


def _verdicts(deviations: Sequence[DeviationRecord]) -> dict[str, Counter[str]]:
    """How many published figures of each table got which verdict."""
    found = {table.name: Counter[str]() for table in TABLES}
    for record in deviations:
        measured = math.isfinite(record.value) and record.verdict
        found[record.table][record.verdict if measured else NO_VALUE_HERE] += 1
    return {
        name.replace("table", "Table\N{NO-BREAK SPACE}"): counts for name, counts in found.items()
    }


def _verification(records: Sequence[VerificationRecord]) -> Mapping[str, Mapping[str, str]]:
    """Measures of the strict mode with detected points, as printed, by row and heading."""
    found: dict[str, dict[str, str]] = {}
    for record in records:
        if (record.mode, record.alignment) == ("strict", "detected"):
            heading, digits = MEASURES[record.measure]
            found.setdefault(record.row, {})[heading] = value_with_interval(
                record.value, record.ci_low, record.ci_high, digits
            )
    return found
