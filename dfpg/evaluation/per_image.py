"""The per-image CSVs: one row per image and method, written by `evaluate`, read by `tables`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dfpg.core.csv_files import from_csv, to_csv
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.renamed import absent_column

# `image` numbers the images of one test set: the same number is the same image.
KEYS = ("method", "test_set", "image", "mode", "subset", "person", "face", "kernel", "size")
# Of `recognition`, empty where nothing was found: largest face of dlib's HOG detector and best of
# SCRFD (score; box and five points in px), and the squared L2 distances, 0 to 4, of the unit
# embedding to the references, aligned by the points found in the image or in the sharp one.
BOX = ("score", "left", "top", "right", "bottom")
RECOGNITION_COLUMNS = (
    *(f"dlib_hog_{name}" for name in BOX),
    "scrfd_faces",
    *(f"scrfd_{name}" for name in BOX),
    *(f"scrfd_{axis}{point}" for point in range(5) for axis in "xy"),
    *(f"{points}_{kind}" for points in ("detected", "sharp") for kind in ("positive", "negative")),
)


def write_per_image(scores: pd.DataFrame, path: Path) -> None:
    """Write keys and metric columns, sorted by method, test set and image, six decimals.

    PSNR of an image that equals the sharp one is written as ``inf``.
    """
    metrics = [name for name in scores.columns if name not in KEYS]
    rows = scores[[*KEYS, *metrics]].sort_values(["method", "test_set", "image"])
    rows[metrics] = np.round(rows[metrics].to_numpy(dtype=np.float64), 6) + 0.0  # no "-0.000000"
    write_text(path, to_csv(rows, index=False, float_format="%.6f"))


def write_recognition(frames: Sequence[pd.DataFrame], path: Path) -> None:
    """Write keys and ``RECOGNITION_COLUMNS``, sorted, six significant digits, empty for NaN."""
    columns = [*KEYS, *RECOGNITION_COLUMNS]
    rows = pd.concat([pd.DataFrame(columns=columns), *frames]) if not frames else pd.concat(frames)
    rows = rows[columns].sort_values(["method", "test_set", "image"])
    write_text(path, to_csv(rows, index=False, float_format="%.6g"))


def read_recognition(path: Path) -> pd.DataFrame:
    """Read what :func:`write_recognition` wrote; NaN where a detector found nothing.

    Raises:
        UserError: the file is missing, is no such CSV, or holds a value that cannot be
            (:func:`dfpg.evaluation.score_schema.check_recognition`).
    """
    from dfpg.evaluation.score_schema import check_recognition

    rows = _read(path)
    observed = list(RECOGNITION_COLUMNS)
    absent = [name for name in RECOGNITION_COLUMNS if name not in rows.columns]
    if absent:
        raise UserError(f"{path}: no column {absent[0]!r}; run the evaluate stage again")
    rows[observed] = rows[observed].replace("", np.nan)
    return check_recognition(rows, RECOGNITION_COLUMNS, path)


def read_per_image(path: Path) -> pd.DataFrame:
    """Read what :func:`write_per_image` wrote.

    Raises:
        UserError: the file is missing, is no such CSV, or holds a value that cannot be
            (:func:`dfpg.evaluation.score_schema.check_scores`).
    """
    from dfpg.evaluation.score_schema import check_scores

    return check_scores(_read(path), path)


def _read(path: Path) -> pd.DataFrame:
    try:
        scores = from_csv(
            pd.read_csv(
                path,
                dtype=dict.fromkeys(KEYS, str),
                float_precision="round_trip",
                keep_default_na=False,  # a face may be called "nan"
            )
        )
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run the evaluate stage first") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a per-image CSV; run the evaluate stage again") from error
    absent = [name for name in KEYS if name not in scores.columns]
    if absent:
        lack = absent_column(absent[0], scores.columns)
        raise UserError(f"{path}: {lack}; run the evaluate stage again")
    return scores
