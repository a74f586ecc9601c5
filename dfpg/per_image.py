"""The per-image CSV: one row per image and method, written by `evaluate`, read by `tables`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from dfpg.errors import UserError
from dfpg.files import write_text

# `image` numbers the images of one protocol's test set: the same number is the same image.
KEYS = ("method", "protocol", "image", "mode", "subset", "person", "face", "kernel", "size")


def write_per_image(scores: pd.DataFrame, path: Path) -> None:
    """Write keys and metric columns, sorted by method, protocol and image, six decimals.

    PSNR of an image that equals the sharp one is written as ``inf``.
    """
    metrics = [name for name in scores.columns if name not in KEYS]
    rows = scores[[*KEYS, *metrics]].sort_values(["method", "protocol", "image"])
    rows[metrics] = np.round(rows[metrics].to_numpy(dtype=np.float64), 6) + 0.0  # no "-0.000000"
    write_text(path, rows.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def read_per_image(path: Path) -> pd.DataFrame:
    """Read what :func:`write_per_image` wrote.

    Raises:
        UserError: the file is missing, is no such CSV, or holds a value that is no number.
    """
    try:
        scores = pd.read_csv(
            path,
            dtype={name: str for name in KEYS if name not in ("image", "kernel", "size")},
            float_precision="round_trip",
            keep_default_na=False,  # a face may be called "nan"
        )
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run the evaluate stage first") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a per-image CSV; run the evaluate stage again") from error
    absent = [name for name in KEYS if name not in scores.columns]
    if absent:
        raise UserError(f"{path}: no column {absent[0]!r}; run the evaluate stage again")
    metrics = scores.drop(columns=list(KEYS))
    for name in metrics.columns:
        if metrics[name].dtype.kind not in "fi" or metrics[name].isna().any():
            raise UserError(
                f"{path}: column {name!r} holds a value that is no number; run evaluate again"
            )
    return scores
