"""Do scores made here agree with the recorded ones, image by image?

That is sharper than comparing means: errors of single images do not cancel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.analysis.estimates import is_of, subset_names
from dfpg.analysis.observations import Observations
from dfpg.analysis.records import Fixed5, Record, Shortest
from dfpg.analysis.result_records import TableRecord
from dfpg.analysis.tolerances import DETECTION_SHARE, DISTANCE, IMAGE, RELATIVE, ROUNDING
from dfpg.core.config import Config, ProtocolName
from dfpg.core.errors import UserError
from dfpg.core.markdown import markdown_table
from dfpg.evaluation.per_image import KEYS
from dfpg.paper.rows import table_rows
from dfpg.paper.tables import DECIMALS, HEADINGS, TEST_IMAGES, TEST_SETS, Table

Floats = NDArray[np.float64]
HERE = " here"  # suffix of columns


class AgreementRecord(Record):
    """One row and metric of a table: values, and the differences of the images behind them.

    ``recorded`` and ``here`` are means over the table's columns. ``largest`` is the largest
    difference of an image, ``outside`` the number of images that differ by more than ``tolerance``,
    ``allowed`` how many may.
    """

    table: str
    row: str
    run: str
    metric: str
    recorded: Fixed5
    here: Fixed5
    images: int
    largest: Shortest
    tolerance: Shortest
    outside: int
    allowed: int

    @property
    def agrees(self) -> bool:
        """Whether no more images differ than may."""
        return self.outside <= self.allowed


def restrict_scores(
    scores: pd.DataFrame, images: Mapping[ProtocolName, Sequence[int]]
) -> pd.DataFrame:
    """Scores of some images: their numbers by protocol."""
    kept = [
        scores[(scores["test_set"] == TEST_IMAGES[protocol]) & scores["image"].isin(numbers)]
        for protocol, numbers in images.items()
    ]
    return pd.concat(kept, ignore_index=True)


def restrict_observations(observations: Observations, images: Sequence[int]) -> Observations:
    """Observations of some images of Table 3's test set."""
    rows = {
        method: part[part["image"].isin(images)].reset_index(drop=True)
        for method, part in observations.rows.items()
    }
    return replace(observations, rows=rows)


def score_agreement(
    config: Config,
    table: Table,
    scores: tuple[pd.DataFrame, pd.DataFrame],
    values: tuple[Sequence[TableRecord], Sequence[TableRecord]],
) -> list[AgreementRecord]:
    """Agreement of a table of quality measures.

    Args:
        config: the profile.
        table: not of recognition.
        scores: of the same images, recorded and here.
        values: the table's records, recorded and here.

    Raises:
        UserError: the images are not the same, or a metric has no tolerance.
    """
    recorded, here = scores
    both = recorded.merge(here, on=list(KEYS), how="outer", suffixes=("", HERE), indicator=True)
    records = []
    for row, run in _scored_rows(config, table, set(here["method"])):
        chosen = both[(both["method"] == run) & _of_table(config, table, both)]
        if (chosen["_merge"] != "both").any():
            raise UserError(f"{run}: scored on other images than the record: run `dvc pull` again")
        for metric, convention in table.conventions.items():
            if metric not in IMAGE:
                raise UserError(f"rescore: no tolerance for metric {metric!r}: state one")
            differences = _differences(
                chosen[convention], chosen[convention + HERE], relative=metric in RELATIVE
            )
            record = _record(table, row, run, metric, values, differences, IMAGE[metric], 0)
            records.append(record)
    return records


def recognition_agreement(
    config: Config,
    table: Table,
    observations: tuple[Observations, Observations],
    values: tuple[Sequence[TableRecord], Sequence[TableRecord]],
) -> list[AgreementRecord]:
    """Agreement of Table 3: faces found or not, and distances of those found.

    Args:
        config: the profile.
        table: Table 3.
        observations: of the same images, recorded and here.
        values: the table's records, recorded and here.

    Raises:
        UserError: the images are not the same.
    """
    records = []
    for row, run in _scored_rows(config, table, set(observations[1].rows)):
        one, two = (found.rows.get(run) for found in observations)
        if one is None or two is None or one["image"].tolist() != two["image"].tolist():
            raise UserError(f"{run}: seen in other images than the record: run `dvc pull` again")
        allowed = max(1, math.ceil(DETECTION_SHARE * len(one)))
        for metric, convention in table.conventions.items():
            if metric.startswith("detection"):
                found = [part[f"{convention}_score"].notna() for part in (one, two)]
                differences = np.asarray(found[0] != found[1], np.float64)
                tolerance = 0.0
            else:
                columns = [f"detected_{kind}" for kind in ("positive", "negative")]
                differences = np.maximum(*(_differences(one[name], two[name]) for name in columns))
                tolerance = DISTANCE
            records.append(
                _record(table, row, run, metric, values, differences, tolerance, allowed)
            )
    return records


def _record(
    table: Table,
    row: str,
    run: str,
    metric: str,
    values: tuple[Sequence[TableRecord], Sequence[TableRecord]],
    differences: Floats,
    tolerance: float,
    allowed: int,
) -> AgreementRecord:
    recorded, here = (_mean(side, row, metric) for side in values)
    return AgreementRecord(
        table=table.name,
        row=row,
        run=run,
        metric=metric,
        recorded=recorded,
        here=here,
        images=len(differences),
        largest=float(differences.max(initial=0.0)),
        tolerance=tolerance,
        outside=int((~(differences <= tolerance + ROUNDING)).sum()),
        allowed=allowed,
    )


def describe_agreement(table: Table, records: Sequence[AgreementRecord]) -> str:
    """A table as text: recorded and here by row, and whether they agree."""
    lines = []
    for row in dict.fromkeys(record.row for record in records):
        own = [record for record in records if record.row == row]
        cells = [f"{_cell(one, one.recorded)} | {_cell(one, one.here)}" for one in own]
        bad = [
            f"{one.metric}: {one.outside} of {one.images} images differ, by up to {one.largest:.3g}"
            for one in own
            if not one.agrees
        ]
        lines.append([row, *cells, "; ".join(bad) or "yes"])
    headings = ["row", *(f"{HEADINGS[name]}: recorded | here" for name in table.conventions)]
    return f"{table.title}\n\n" + markdown_table([*headings, "agrees"], lines)


def _cell(record: AgreementRecord, value: float) -> str:
    return f"{value:.{DECIMALS[record.metric]}f}" if math.isfinite(value) else "-"


def _scored_rows(config: Config, table: Table, methods: set[str]) -> Iterator[tuple[str, str]]:
    """Row and run of the rows that were scored here."""
    for row in table_rows(table, config):
        if row.run in methods:
            yield row.key, str(row.run)


def _of_table(config: Config, table: Table, frame: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a frame are of the table's test sets."""
    found = pd.Series(False, index=frame.index)
    for column in table.columns:
        subsets = frame["subset"].isin(subset_names(config, column))
        found |= is_of(TEST_SETS[column.test_set], frame) & subsets
    return found


def _differences(
    recorded: pd.Series[float], here: pd.Series[float], relative: bool = False
) -> Floats:
    """Absolute, or relative to the record; infinite where one alone is infinite or missing."""
    one, two = recorded.to_numpy(np.float64), here.to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        found = np.abs(two - one)
    if relative:
        found = found / np.where(one == 0, 1.0, np.abs(one))
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    return np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))


def _mean(values: Sequence[TableRecord], row: str, metric: str) -> float:
    """Mean of a row's values over the table's columns; NaN where one is missing."""
    found = [one.value for one in values if (one.row, one.metric) == (row, metric)]
    return float(np.mean(found)) if found else math.nan
