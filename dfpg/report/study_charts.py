"""Effects of claims under every reading of the paper, and against the images seen in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from markupsafe import Markup

from dfpg.analysis.records import Record, read_records
from dfpg.analysis.study_records import (
    FALLS,
    GROWS,
    OPEN,
    RIGHT,
    STEADY,
    WRONG,
    BudgetRecord,
    ReadingRecord,
)
from dfpg.paper.claims import CLAIMS, allowed_margin
from dfpg.paper.readings import wording
from dfpg.paper.tables import TABLES
from dfpg.report.charts import PER_ROW
from dfpg.report.style import BLACK, BLUE, GREY, VERMILLION
from dfpg.report.svg import draw_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Study = TypeVar("Study", BudgetRecord, ReadingRecord)
METRICS = ("psnr", "ssim")  # the first one that a claim is about is drawn
METRIC, LABEL = "psnr", "effect on PSNR (dB),\nright: as claimed"
FOREST_WIDTH = 5.0  # inches: readings are named in words
UNITS = {"psnr": "PSNR (dB)", "ssim": "SSIM"}
MEANS = ("effect", "ci_low", "ci_high")
COLOURS = {RIGHT: BLUE, WRONG: VERMILLION, OPEN: GREY}
ABLATION = frozenset(row.key for row in TABLES[-1].rows)


class ClaimBudgets(NamedTuple):
    """How a claim's effects go with the images seen: what it says, the trend, a chart per pair."""

    meaning: str
    trend: str
    charts: list[Markup]


def read_study(kind: type[Study], path: Path, profile: str) -> list[Study]:
    """Records of a study; none where there is no file of this profile."""
    records: list[Study] = read_records(kind, path) if path.exists() else []
    return [record for record in records if record.profile == profile]


def of_ablation(records: Iterable[Study]) -> list[Study]:
    """Comparisons within the ablation, in PSNR."""
    return [record for record in records if record.metric == METRIC and _is_ablation(record)]


def of_claims(records: Iterable[BudgetRecord]) -> list[BudgetRecord]:
    """Comparisons with other networks than the ablation's.

    Of a claim those in the first of ``METRICS`` that it is about.
    """
    own = [record for record in records if not _is_ablation(record)]
    metrics = {
        claim: min((one.metric for one in own if one.claim == claim), key=METRICS.index)
        for claim in {one.claim for one in own}
    }
    return [record for record in own if record.metric == metrics[record.claim]]


def _is_ablation(record: BudgetRecord | ReadingRecord) -> bool:
    return {record.better, record.worse} <= ABLATION


def reading_charts(records: Sequence[ReadingRecord]) -> list[Markup]:
    """A forest per comparison: one line per reading, the profile's own first."""
    return [
        _forest(number, better, worse, own)
        for number, ((better, worse), own) in enumerate(_by_pair(records).items())
    ]


def budget_charts(records: Sequence[BudgetRecord]) -> list[Markup]:
    """Effect of every comparison against images seen, with its interval over people."""
    return [
        _curve(str(number), _title(better, worse), own)
        for number, ((better, worse), own) in enumerate(_by_pair(records).items())
    ]


def claim_budgets(records: Sequence[BudgetRecord]) -> list[ClaimBudgets]:
    """Charts of :func:`of_claims`, claim by claim in the order of the paper."""
    found = []
    for claim in CLAIMS:
        own = [record for record in records if record.claim == claim.key]
        charts = [
            _curve(f"{claim.key}-{number}", f"{better} over {worse}", _means(pair))
            for number, ((better, worse), pair) in enumerate(_by_pair(own).items())
        ]
        if charts:
            found.append(ClaimBudgets(claim.meaning, _describe_trends(own), charts))
    return found


def _means(records: Iterable[BudgetRecord]) -> list[BudgetRecord]:
    """Of each budget the mean over the subsets.

    Its interval is the mean of theirs, which is at least as wide as the mean's own.
    """
    budgets: dict[int, list[BudgetRecord]] = {}
    for record in records:
        budgets.setdefault(record.images or 0, []).append(record)
    return [
        own[0].model_copy(
            update={name: fmean(getattr(one, name) for one in own) for name in MEANS}
            | {"subset": "mean", "trend": _most(own)}
        )
        for own in budgets.values()
    ]


def _describe_trends(records: Iterable[BudgetRecord]) -> str:
    """How many comparisons, of a pair of rows on a subset, grow, fall, or do neither."""
    counts = _count_trends(records)
    return (
        f"Of {counts.total()} comparisons the effect grows in {counts[GROWS]}, falls in "
        f"{counts[FALLS]}, and does neither in {counts[STEADY]}."
    )


def _most(records: Iterable[BudgetRecord]) -> str:
    """The commonest trend, and of how many of the subsets."""
    counts = _count_trends(records)
    ((trend, count),) = counts.most_common(1)
    return trend if count == counts.total() else f"{trend} in {count} of {counts.total()}"


def _count_trends(records: Iterable[BudgetRecord]) -> Counter[str]:
    return Counter(
        {(one.better, one.worse, one.test_set, one.subset): one.trend for one in records}.values()
    )


def _by_pair(records: Sequence[Study]) -> dict[tuple[str, str], list[Study]]:
    """Records by comparison; what several claims share is drawn once."""
    found: dict[tuple[str, str], dict[Record, None]] = {}
    for record in records:
        plain = record.model_copy(update={"claim": ""})
        found.setdefault((record.better, record.worse), {})[plain] = None
    return {pair: list(own) for pair, own in found.items()}  # type: ignore[arg-type]


def _forest(number: int, better: str, worse: str, own: Sequence[ReadingRecord]) -> Markup:
    names = [wording(one.choice, one.answer) for one in own]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=GREY, linewidth=0.8)
        for place, one in enumerate(own):
            colour = COLOURS[one.direction]
            axes.plot([one.ci_low, one.ci_high], [place, place], color=colour)
            axes.plot([one.effect], [place], "o", color=colour)
        axes.set_yticks(range(len(own)), names)
        axes.set_ylim(len(own) - 0.5, -0.5)
        axes.set_xlabel(LABEL)
        axes.set_title(_title(better, worse))

    values = ", ".join(f"{name} {one.effect:+.2f}" for name, one in zip(names, own, strict=True))
    words = f"{_title(better, worse)}, effect in dB under every reading: {values}."
    height = 1.0 + PER_ROW * len(own)
    return draw_chart(f"reading-{number}", words, draw, height, FOREST_WIDTH)


def _curve(key: str, title: str, records: Iterable[BudgetRecord]) -> Markup:
    own = sorted(records, key=lambda record: record.images or 0)
    unit, trend = UNITS[own[0].metric], own[-1].trend
    subsets = dict.fromkeys(one.subset for one in own)

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=GREY, linewidth=0.8)
        for subset in subsets:
            points = [one for one in own if one.subset == subset]
            images = [float(one.images or 0) for one in points]
            axes.fill_between(
                images,
                [one.ci_low for one in points],
                [one.ci_high for one in points],
                color=GREY,
                alpha=0.25,
                linewidth=0,
            )
            axes.plot(images, [one.effect for one in points], "o-", color=BLACK)
        axes.set_xscale("log")
        ticks = sorted({one.images or 0 for one in own})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(f"training images seen; effect: {trend.replace(STEADY, 'no trend')}")
        axes.set_ylabel(f"effect on {unit}")
        axes.set_title(title)

    digits = 2 if own[0].metric == METRIC else 4
    values = ", ".join(f"{one.images} images {one.effect:+.{digits}f}" for one in own)
    words = f"{title}, effect on {unit} against images seen ({trend}): {values}."
    return draw_chart(f"budget-{key}", words, draw)


def _title(better: str, worse: str) -> str:
    margin = allowed_margin(better, worse, METRIC)
    return f"{better.upper()} over {worse.upper()}" + (f", plus {margin:g}" if margin else "")
