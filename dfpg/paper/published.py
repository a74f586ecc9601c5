"""The figures printed in the paper's Tables 1-4, and what is doubtful about them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import NamedTuple

from dfpg.paper.tables import Cell


class Key(NamedTuple):
    """Where a figure stands: table, row, column group (protocol, subset) and metric."""

    table: str  # "table1" ... "table4"
    row: str
    protocol: str  # shen | mspl_center | mspl_random
    subset: str  # "mean": over the subsets of the protocol (Table 4)
    metric: str  # psnr (dB) | ssim | d_vgg | lpips | detection_pct | verification_acc_pct


@dataclass(frozen=True)
class Figure:
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
MATCH = {"psnr": 0.05, "ssim": 0.003, "lpips": 0.005, "d_vgg": 0.02}
# Percentage points; the paper's text and its Table 3 differ by 0.31 (96.10 against 96.41).
MATCH |= {"detection_pct": 0.3, "verification_acc_pct": 0.3}
# Figures that another source contradicts (METHODS section 15).
ERRATA = MappingProxyType(
    {
        Key("table2", "lu2019", "mspl_random", "celeba", "d_vgg"): (
            "one digit off Yasarla's row, the other subsets equal: a copy error; 96.71 in SAPPGAN"
        ),
        Key("table2", "lu2019", "mspl_random", "celeba_hq", "d_vgg"): (
            "equals Yasarla's row: a copy error; 156.96 in SAPPGAN"
        ),
        Key("table2", "lu2019", "mspl_random", "ffhq", "d_vgg"): (
            "equals Yasarla's row: a copy error; 129.43 in SAPPGAN"
        ),
        Key("table2", "dfpg_b", "mspl_center", "celeba_hq", "d_vgg"): "33.29 in SAPPGAN",
        Key("table2", "shen2018", "mspl_center", "ffhq", "d_vgg"): "180.10 in SAPPGAN",
        Key("table2", "yasarla2020_retrained", "mspl_random", "celeba_hq", "d_vgg"): (
            "58.89 in SAPPGAN"
        ),
        Key("table2", "lee2020", "mspl_center", "celeba", "psnr"): "28.08 in SAPPGAN",
        Key("table3", "dfpg_a", "shen", "celeba", "detection_pct"): "96.10 in the paper's text",
        Key("table4", "b6", "mspl_center", "mean", "psnr"): (
            "the three subsets of Table 2 average to 29.227"
        ),
    }
)


@cache
def figures() -> MappingProxyType[Key, Figure]:
    """All printed figures by key, in the order of the tables."""
    found: dict[Key, Figure] = {}
    for table in ("table1", "table2", "table3", "table4"):
        text = resources.files("dfpg.paper").joinpath(f"{table}.csv").read_text(encoding="utf-8")
        for line in csv.DictReader(text.splitlines()):
            if table == "table4":  # wide, and the mean over MSPL-Center as its caption says
                for metric in ("psnr", "ssim"):
                    key = Key(table, line["model"], "mspl_center", "mean", metric)
                    found[key] = Figure(line[metric])
            else:
                key = Key(table, line["method"], line["protocol"], line["subset"], line["metric"])
                found[key] = Figure(line["value"])
    return MappingProxyType(found)


def printed(cell: Cell, row: str) -> float | None:
    """The paper's figure of a row in a cell, in the metric's unit; None where it has none."""
    metric = PRINTED_AS.get(cell.metric, cell.metric)
    figure = figures().get(Key(cell.table, row, *cell.column, metric))
    return None if figure is None else figure.value
