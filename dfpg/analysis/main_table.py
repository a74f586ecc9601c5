"""The main table: what every method gains over the blurred images, one value per test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dfpg.analysis.estimates import ColumnEstimates
from dfpg.analysis.floor import Floor
from dfpg.analysis.records import Count, Fixed5, Record
from dfpg.core.config import Config
from dfpg.paper.rows import table_rows
from dfpg.paper.tables import CEILING, FLOOR, Column, Table

PSNR = "psnr"
ROLES = {CEILING: "ceiling", FLOOR: "floor", "blurred": "input"}


class MainRecord(Record):
    """``main.csv``: what one row gains in PSNR, mean over the subsets of a test set."""

    test_set: str
    row: str
    run: str
    role: str  # ceiling | floor | input; empty for methods
    gain: Fixed5  # dB over the blurred images
    ci_low: Fixed5
    ci_high: Fixed5
    psnr: Fixed5  # dB
    floor: str  # above | not above, as in the tables
    n_images: Count
    n_people: Count
    profile: str


def main_records(
    config: Config,
    layout: Sequence[Table],
    means: Mapping[Column, ColumnEstimates | None],
    floor: Floor,
) -> list[MainRecord]:
    """Records of ``main.csv``: the rows of Tables 1 and 2, each test set's best first.

    Args:
        config: the profile.
        layout: the tables with the rows of submissions.
        means: of :func:`dfpg.analysis.floor.mean_estimates`.
        floor: which rows do not beat the fixed filter.
    """
    records = []
    for column, found in means.items():
        if found is None:
            continue
        table = next(
            table for table in layout if column.test_set in {own.test_set for own in table.columns}
        )
        own = []
        for row in table_rows(table, config):
            key = (str(row.run), PSNR)
            if row.run == "sharp" or key not in found.values:
                continue
            gain = found.gains[key]
            own.append(
                MainRecord(
                    test_set=column.test_set,
                    row=row.key,
                    run=key[0],
                    role=ROLES.get(key[0], ""),
                    gain=gain.mean,
                    ci_low=gain.low,
                    ci_high=gain.high,
                    psnr=found.values[key].mean,
                    floor=floor.standing(column, row.run, PSNR),
                    n_images=found.images,
                    n_people=found.people,
                    profile=config.profile,
                )
            )
        records += sorted(own, key=lambda record: -record.gain)
    return records
