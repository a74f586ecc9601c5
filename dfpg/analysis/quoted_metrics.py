"""The numbers that people quote, as DVC's metrics: one small file for each test set and run.

``dvc metrics show`` prints a line per file and a column per value, so one file for everything would
be one line of hundreds of columns. What is left out (d_VGG, the values of single subsets, the other
modes of verification, intervals) stands in ``table1.csv`` ... ``table4.csv``.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping

from dfpg.analysis.result_records import ClaimRecord, TableRecord
from dfpg.analysis.verdicts import CONSISTENT, INCONSISTENT, REFUTED, SUPPORTED

FOLDER = "metrics"
QUOTED = ("psnr", "ssim", "lpips", "detection_pct", "verification_strict_acc_pct")
HELD, REVERSED, LEFT_OPEN = "supported", "refuted", "left_open"
COUNTED = {SUPPORTED: HELD, CONSISTENT: HELD, REFUTED: REVERSED, INCONSISTENT: REVERSED}


def quoted_metrics(
    tables: Mapping[str, Iterable[TableRecord]], claims: Iterable[ClaimRecord]
) -> dict[str, dict[str, float]]:
    """Values by metric, for each file by its path below ``results``.

    ``metrics/TESTSET/RUN.json`` holds the metrics ``QUOTED`` of one run: the mean over the subsets
    of that test set that have a finite value, in the convention of the table, rounded to five
    decimals. ``metrics/claims.json`` counts the verdicts on the paper's claims.

    Args:
        tables: records of the tables by name.
        claims: records of ``claims.csv``.
    """
    files: dict[str, dict[str, float]] = {}
    for records in tables.values():
        subsets: dict[tuple[str, str], list[float]] = {}
        for record in records:
            if record.metric in QUOTED and math.isfinite(record.value):
                path = f"{FOLDER}/{record.test_set}/{record.run}.json"
                subsets.setdefault((path, record.metric), []).append(record.value)
        for (path, metric), values in subsets.items():
            # Table 4 repeats rows of Table 2: the same mean.
            files.setdefault(path, {}).setdefault(metric, round(statistics.fmean(values), 5) + 0.0)
    verdicts = Counter(COUNTED.get(claim.verdict, LEFT_OPEN) for claim in claims)
    files[f"{FOLDER}/claims.json"] = {name: verdicts[name] for name in (HELD, REVERSED, LEFT_OPEN)}
    return files
