"""What every trained row gains over the blurred images."""

from __future__ import annotations

from collections.abc import Mapping

from dfpg.analysis.estimates import ColumnEstimates, Estimate
from dfpg.analysis.people_bootstrap import holm
from dfpg.analysis.result_records import GainRecord
from dfpg.core.config import Config
from dfpg.paper.rows import table_rows
from dfpg.paper.tables import BASELINES, Column, Table


def gain_records(
    config: Config, table: Table, estimates: Mapping[Column, ColumnEstimates | None]
) -> list[GainRecord]:
    """Paired gain of every trained row over ``blurred``; Holm's family: one column and metric."""
    trained = [row for row in table_rows(table, config) if row.run not in BASELINES]
    records = []
    for column, found in estimates.items():
        if found is None:
            continue
        for metric, convention in table.conventions.items():
            rows = [row for row in trained if (row.run, convention) in found.gains]
            keys = [(str(row.run), convention) for row in rows]
            adjusted = holm([found.p[key] for key in keys])
            for row, key, p_holm in zip(rows, keys, adjusted.tolist(), strict=True):
                gain = found.gains[key]
                records.append(
                    GainRecord(
                        table=table.name,
                        row=row.key,
                        run=key[0],
                        test_set=column.test_set,
                        subset=column.subset,
                        metric=metric,
                        convention=convention,
                        gain=gain.mean,
                        ci_low=gain.low,
                        ci_high=gain.high,
                        verdict=_direction(gain),
                        p=found.p[key],
                        p_holm=p_holm,
                        n_images=found.images,
                        n_people=found.people,
                    )
                )
    return records


def _direction(gain: Estimate) -> str:
    """Whether the interval of a gain excludes zero, and on which side."""
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "undecided"
