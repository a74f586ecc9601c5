"""The figures printed in the paper's Tables 1-4, and what is doubtful about them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import NamedTuple

from dfpg.paper.tables import Cell


class PublishedKey(NamedTuple):
    """Where a figure stands: table, row, column group (test set, subset) and metric."""

    table: str  # "table1" ... "table4"
    row: str
    test_set: str  # shen | mspl_center | mspl_random
    subset: str  # "mean": over the subsets of the test set (Table 4)
    metric: str  # psnr (dB) | ssim | d_vgg | lpips | detection_pct | verification_acc_pct


@dataclass(frozen=True)
class PublishedValue:
    """One printed number; ``text`` keeps the decimals that the paper prints."""

    text: str

    @property
    def value(self) -> float:
        """The number itself, in the metric's unit."""
        return float(self.text)


# Where the paper prints one figure for what is measured in two ways here.
PRINTED_AS = {"verification_strict_acc_pct": "verification_acc_pct"}
# A value this near the printed one is the same result: about as far as the paper's own figures
# are from each other (Table 4's B6 and the mean of Table 2 differ by 0.043 dB); d_VGG: relative.
MATCH_TOLERANCE = {"psnr": 0.05, "ssim": 0.003, "lpips": 0.005, "d_vgg": 0.02}
# Percentage points; the paper's text and its Table 3 differ by 0.31 (96.10 against 96.41).
MATCH_TOLERANCE |= {"detection_pct": 0.3, "verification_acc_pct": 0.3}
# Figures that another source contradicts: docs/paper_errata.md.
ERRATA = MappingProxyType(
    {
        PublishedKey("table2", "lu2019", "mspl_random", "celeba", "d_vgg"): (
            "one digit off Yasarla's row, the other subsets equal: a copy error; 96.71 in SAPPGAN"
        ),
        PublishedKey("table2", "lu2019", "mspl_random", "celeba_hq", "d_vgg"): (
            "equals Yasarla's row: a copy error; 156.96 in SAPPGAN"
        ),
        PublishedKey("table2", "lu2019", "mspl_random", "ffhq", "d_vgg"): (
            "equals Yasarla's row: a copy error; 129.43 in SAPPGAN"
        ),
        PublishedKey("table2", "dfpg_b", "mspl_center", "celeba_hq", "d_vgg"): "33.29 in SAPPGAN",
        PublishedKey("table2", "shen2018", "mspl_center", "ffhq", "d_vgg"): "180.10 in SAPPGAN",
        PublishedKey("table2", "yasarla2020_retrained", "mspl_random", "celeba_hq", "d_vgg"): (
            "58.89 in SAPPGAN"
        ),
        PublishedKey("table2", "lee2020", "mspl_center", "celeba", "psnr"): "28.08 in SAPPGAN",
        PublishedKey(
            "table3", "dfpg_a", "shen", "celeba", "detection_pct"
        ): "96.10 in the paper's text",
        PublishedKey("table4", "b6", "mspl_center", "mean", "psnr"): (
            "the three subsets of Table 2 average to 29.227"
        ),
    }
)


@cache
def published_values() -> MappingProxyType[PublishedKey, PublishedValue]:
    """All printed figures by key, in the order of the tables."""
    found: dict[PublishedKey, PublishedValue] = {}
    for table in ("table1", "table2", "table3", "table4"):
        text = resources.files("dfpg.paper").joinpath(f"{table}.csv").read_text(encoding="utf-8")
        for line in csv.DictReader(text.splitlines()):
            if table == "table4":  # wide, and the mean over MSPL-Center as its caption says
                for metric in ("psnr", "ssim"):
                    key = PublishedKey(table, line["model"], "mspl_center", "mean", metric)
                    found[key] = PublishedValue(line[metric])
            else:
                key = PublishedKey(
                    table, line["method"], line["test_set"], line["subset"], line["metric"]
                )
                found[key] = PublishedValue(line["value"])
    return MappingProxyType(found)


def published_value(cell: Cell, row: str) -> float | None:
    """The paper's figure of a row in a cell, in the metric's unit; None where it has none."""
    metric = PRINTED_AS.get(cell.metric, cell.metric)
    published = published_values().get(PublishedKey(cell.table, row, *cell.column, metric))
    return None if published is None else published.value
