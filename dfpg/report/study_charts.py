"""Effects of the ablation's claims under every reading of the paper, and against images seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from markupsafe import Markup

from dfpg.analysis.records import Record, read_records
from dfpg.analysis.study_records import BudgetRecord, ReadingRecord
from dfpg.paper.tables import TABLES
from dfpg.report.charts import PER_ROW
from dfpg.report.style import BLACK, BLUE, GREY, VERMILLION
from dfpg.report.svg import draw_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Study = TypeVar("Study", BudgetRecord, ReadingRecord)
METRIC, LABEL = "psnr", "effect on PSNR (dB),\nright: as claimed"
COLOURS = {"right": BLUE, "wrong": VERMILLION, "open": GREY}
ABLATION = frozenset(row.key for row in TABLES[-1].rows)


def read_study(kind: type[Study], path: Path, profile: str) -> list[Study]:
    """Records of a study of the ablation in PSNR; none where there is no file of this profile."""
    records: list[Study] = read_records(kind, path) if path.exists() else []
    return [
        record
        for record in records
        if (record.profile, record.metric) == (profile, METRIC)
        and {record.better, record.worse} <= ABLATION
    ]


def reading_charts(records: Sequence[ReadingRecord]) -> list[Markup]:
    """A forest per comparison: one line per reading, the profile's own first."""
    return [
        _forest(number, better, worse, own)
        for number, ((better, worse), own) in enumerate(_by_pair(records).items())
    ]


def budget_charts(records: Sequence[BudgetRecord]) -> list[Markup]:
    """Effect of every comparison against images seen, with its interval over people."""
    return [
        _curve(number, better, worse, sorted(own, key=lambda record: record.images or 0))
        for number, ((better, worse), own) in enumerate(_by_pair(records).items())
    ]


def _by_pair(records: Sequence[Study]) -> dict[tuple[str, str], list[Study]]:
    """Records by comparison; what several claims share is drawn once."""
    found: dict[tuple[str, str], dict[Record, None]] = {}
    for record in records:
        plain = record.model_copy(update={"claim": ""})
        found.setdefault((record.better, record.worse), {})[plain] = None
    return {pair: list(own) for pair, own in found.items()}  # type: ignore[arg-type]


def _forest(number: int, better: str, worse: str, own: Sequence[ReadingRecord]) -> Markup:
    names = [f"{one.choice} {one.answer}".strip() for one in own]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=GREY, linewidth=0.8)
        for place, one in enumerate(own):
            colour = COLOURS[one.direction]
            axes.plot([one.ci_low, one.ci_high], [place, place], color=colour)
            axes.plot([one.effect], [place], "o", color=colour)
        axes.set_yticks(range(len(own)), names)
        axes.set_ylim(len(own) - 0.5, -0.5)
        axes.set_xlabel(LABEL)
        axes.set_title(_title(better, worse), loc="left", fontweight="bold")

    values = ", ".join(f"{name} {one.effect:+.2f}" for name, one in zip(names, own, strict=True))
    words = f"{_title(better, worse)}, effect in dB under every reading: {values}."
    return draw_chart(f"reading-{number}", words, draw, 1.0 + PER_ROW * len(own))


def _curve(number: int, better: str, worse: str, own: Sequence[BudgetRecord]) -> Markup:
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
        axes.set_xlabel("training images seen")
        axes.set_ylabel("effect on PSNR (dB)")
        axes.set_title(_title(better, worse), loc="left", fontweight="bold")

    values = ", ".join(f"{one.images} images {one.effect:+.2f}" for one in own)
    trend = own[-1].trend
    words = f"{_title(better, worse)}, effect in dB against images seen ({trend}): {values}."
    return draw_chart(f"budget-{number}", words, draw)


def _title(better: str, worse: str) -> str:
    return f"{better.upper()} over {worse.upper()}"
