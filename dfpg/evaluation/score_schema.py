"""What the columns of a file of scores may hold: types, and the bounds of what is measured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pandera.pandas as pa

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.paper.tables import TestImages

REMEDY = "run the evaluate stage again"
# Metrics by the beginning of their column's name: lowest and highest value of 8-bit images. One
# grey level off in one channel of a picture of 1024 px is 113 dB; black for white is 0 dB.
BOUNDS = {"psnr": (0, 120), "ssim": (-1, 1), "lpips": (0, 10), "d_vgg": (0, 1e6)}
LARGEST = 1e9  # of a metric that is not known here, by its absolute value
FARTHEST = 4.0  # squared distance of two unit vectors
ROUNDING = 1e-5  # files hold six digits
MODE = r"^(center|random|[a-z]+ -?\d+(\.\d+)?)$"  # of the test sets, or a move: "rotation -5"

TEXT = pa.Column(str, pa.Check.str_length(1, 1000, error="is empty or too long"))
KEYS = {
    "method": TEXT,
    "test_set": pa.Column(str, pa.Check.isin(get_args(TestImages), error="is no test set")),
    "image": pa.Column(int, pa.Check.in_range(0, 10**9, error="is no number of an image")),
    "mode": pa.Column(str, pa.Check.str_matches(MODE, error="is no mode or move of a face")),
    "subset": TEXT,
    "person": TEXT,
    "face": TEXT,
    "kernel": pa.Column(int, pa.Check.in_range(0, 10**6, error="is no number of a kernel")),
    "size": pa.Column(int, pa.Check.isin(NOMINAL_SIZES, error="is no nominal kernel size")),
}


def check_scores(scores: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Per-image scores with every column in its type.

    PSNR may be infinite where the image equals the sharp one, as every SSIM must then say, too.

    Raises:
        UserError: a value that is of another type or that the metric cannot have, or an image that
            is there twice.
    """
    metrics = [name for name in scores.columns if name not in KEYS]
    checked = _check(scores, {name: _metric(name) for name in metrics}, path)
    ssims = [name for name in metrics if name.startswith("ssim")]
    for name in (name for name in metrics if name.startswith("psnr")):
        lies = np.isinf(checked[name]) & (checked[ssims] < 1 - ROUNDING).any(axis=1)
        if lies.any():
            raise UserError(
                f"{path}: column {name!r}, row {_row(lies)}: inf is for an image that equals the "
                f"sharp one, and its SSIM is below 1; {REMEDY}"
            )
    return checked


def check_recognition(rows: pd.DataFrame, columns: Iterable[str], path: Path) -> pd.DataFrame:
    """Rows of Table 3 with every column in its type; NaN where a detector found nothing.

    Args:
        rows: with the keys and ``columns``.
        columns: what was observed.
        path: named in errors.

    Raises:
        UserError: as :func:`check_scores`.
    """
    return _check(rows, {name: _observation_column(name) for name in columns}, path)


def _metric(name: str) -> pa.Column:
    kind = next((kind for kind in BOUNDS if name.startswith(kind)), None)
    low, high = BOUNDS[kind] if kind else (-LARGEST, LARGEST)

    def is_possible(values: pd.Series) -> pd.Series:
        inside = values.between(low - ROUNDING, high + ROUNDING)
        return inside | (values == np.inf) if kind == "psnr" else inside

    return pa.Column(float, pa.Check(is_possible, error=f"is not in {low:g} ... {high:g}"))


def _observation_column(name: str) -> pa.Column:
    low, high = -1e6, 1e6  # px, or a detector's score
    if name.endswith(("_positive", "_negative")):
        low, high = 0, FARTHEST
    elif name.endswith("_faces"):
        low, high = 0, 10_000
    return pa.Column(
        float,
        pa.Check.in_range(low - ROUNDING, high + ROUNDING, error=f"is not in {low:g} ... {high:g}"),
        nullable=True,
    )


def _check(frame: pd.DataFrame, columns: dict[str, pa.Column], path: Path) -> pd.DataFrame:
    schema = pa.DataFrameSchema(KEYS | columns, coerce=True, strict=True)
    try:
        checked: pd.DataFrame = schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise UserError(f"{path}: {_describe_failure(error.failure_cases)}; {REMEDY}") from error
    twice = checked.duplicated(["method", "test_set", "mode", "image"])
    if twice.any():
        raise UserError(f"{path}: row {_row(twice)}: its image is there twice; {REMEDY}")
    return checked


def _describe_failure(failures: pd.DataFrame) -> str:
    """Column, row and value of the first failure, and what is wrong with it."""
    of_type = failures["check"].astype(str).str.startswith(("coerce", "dtype", "not_nullable"))
    if of_type.any():  # the other checks then saw the text
        failures = failures[of_type]
    first = failures.sort_values("index", kind="stable").iloc[0]
    where = "" if pd.isna(first["index"]) else f", row {int(first['index']) + 1}"
    reason = "is missing, or is not of the column's type" if of_type.any() else first["check"]
    return f"column {first['column']!r}{where}: {str(first['failure_case'])[:40]!r} {reason}"


def _row(wrong: pd.Series) -> int:
    """Number of the first row that is wrong, from 1."""
    return int(np.flatnonzero(wrong.to_numpy())[0]) + 1
