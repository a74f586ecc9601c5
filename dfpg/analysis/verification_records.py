"""Records of ``verification.csv``, ``roc.csv`` and ``verification_histogram.csv``."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dfpg.analysis.estimates import Bounds
from dfpg.analysis.verification import (
    ALIGNMENTS,
    BIN,
    MEASURES,
    MODES,
    Observations,
    compare_with_references,
    curve,
    histogram,
    measures,
)
from dfpg.core.config import Config
from dfpg.paper.tables import Row

Record = dict[str, str]


def verification(config: Config, observations: Observations, rows: Sequence[Row]) -> list[Record]:
    """Every measure of every row, in both modes and with both alignments, side by side."""
    records = []
    for row in rows:
        if row.run not in observations.rows:
            continue
        for mode in MODES:
            for alignment in ALIGNMENTS:
                pairs = compare_with_references(observations, row.run, mode, alignment)
                found = measures(config, pairs, mode)
                for measure in MEASURES:
                    records.append(
                        {
                            "row": row.key,
                            "run": row.run,
                            "mode": mode,
                            "alignment": alignment,
                            "measure": measure,
                            **_bounds(found[measure]),
                            "n_images": str(pairs.images),
                            "n_dropped": str(pairs.dropped),
                            "n_pairs": str(len(pairs.same)),
                            "n_people": str(len(observations.groups)),
                            "profile": config.profile,
                        }
                    )
    return records


def roc_curves(observations: Observations, rows: Sequence[Row]) -> list[Record]:
    """Points of the ROC of every row, mode ``strict``, both alignments."""
    records = []
    for row in rows:
        if row.run not in observations.rows:
            continue
        for alignment in ALIGNMENTS:
            pairs = compare_with_references(observations, row.run, "strict", alignment)
            if len(pairs.same):
                records += [
                    {
                        "row": row.key,
                        "alignment": alignment,
                        "far": f"{far:.5f}",
                        "tar": f"{tar:.5f}",
                    }
                    for far, tar in zip(*curve(pairs), strict=True)
                ]
    return records


def histograms(observations: Observations, rows: Sequence[Row]) -> list[Record]:
    """Counts of squared distances by kind of pair, mode ``strict``, alignment ``detected``.

    What is missing from the number of images was not detected.
    """
    records = []
    for row in rows:
        if row.run not in observations.rows:
            continue
        pairs = compare_with_references(observations, row.run, "strict", "detected")
        for kind, counts in histogram(pairs).items():
            records += [
                {"row": row.key, "kind": kind, "distance": f"{BIN * (place + 0.5):.2f}",
                 "count": str(count)}
                for place, count in enumerate(counts.tolist())
            ]  # fmt: skip
    return records


def _bounds(bounds: Bounds) -> Record:
    return {
        name: f"{round(value, 5) + 0.0:.5f}" if math.isfinite(value) else ""
        for name, value in zip(("value", "ci_low", "ci_high"), bounds, strict=True)
    }
