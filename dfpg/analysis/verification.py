"""Face verification from what detector and embedder saw: accuracy in both modes, ROC, histogram.

``authors`` is the protocol behind the published figures: images without exactly one face are
dropped, all positive pairs are listed before all negative ones, and ten folds are cut in that
order, so that nearly every fold holds one kind of pair only. ``strict`` keeps every image (a face
that is not found is an error), deals the people to ten folds, groups that share a negative pair
together, and takes each fold's threshold from the sharp images of the others. It is common to all
methods: one of its own would be part of what is compared and would vary with the people.
Probes are aligned by the points ``detected`` in them, or by those of the ``sharp`` image.

Intervals: rates by :func:`dfpg.analysis.people_bootstrap.rate_interval`, given the thresholds; the
ROC's measures by the percentile bootstrap. What is drawn are people, in groups that share a
negative pair; for rates, kernels too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dfpg.analysis.estimates import NO_ESTIMATE, Estimate, kernel_names
from dfpg.analysis.observations import Observations
from dfpg.analysis.people_bootstrap import Interval, rate_interval
from dfpg.analysis.result_records import HistogramRecord, RocRecord, VerificationRecord
from dfpg.analysis.strata import draw_people, make_stratum
from dfpg.core.config import Config
from dfpg.metrics.verification import (
    FOLDS,
    Flags,
    Floats,
    authors_folds,
    fold_thresholds,
    is_correct,
    roc,
    roc_measures,
)
from dfpg.paper.tables import BASELINES, Row

MODES, ALIGNMENTS = ("authors", "strict"), ("detected", "sharp")
MEASURES = ("accuracy_pct", "eer_pct", "auc", "tar_at_far_1pct")
CHUNK = 100  # resamples at a time: bounds memory to CHUNK x pairs
ROC_POINTS = 100  # of a ROC in results/
BIN = 0.1  # width of the histogram's bins of squared distance


@dataclass(frozen=True)
class VerificationPairs:
    """Pairs of one method and alignment, all positive ones first, images in order.

    Attributes:
        distances: [N], NaN where the probe's face was not found.
        same: [N].
        group, fold: of the probe's person, [N].
        kernel: name of the probe's, [N].
        threshold: below it a pair is accepted, [N]; empty where there are too few for folds.
        images, dropped: how many images there are, and how many of them were dropped.
    """

    distances: Floats
    same: Flags
    group: NDArray[np.int64]
    fold: NDArray[np.int64]
    kernel: list[str]
    threshold: Floats
    images: int
    dropped: int


def verification_pairs(
    observations: Observations, method: str, mode: str, alignment: str
) -> VerificationPairs:
    """Pairs of one method; in mode ``authors`` without the images that the authors drop."""
    distances, same, group, fold, kernel, images = _method_pairs(
        observations, method, mode, alignment
    )
    if mode == "authors":
        enough, folds = len(same) >= FOLDS, authors_folds(len(same))
        threshold = fold_thresholds(distances, same, folds) if enough else np.zeros(0)
    else:
        sharp = _method_pairs(observations, BASELINES[0], mode, alignment)
        enough = len(np.unique(fold)) > 1
        threshold = fold_thresholds(sharp[0], sharp[1], sharp[3]) if enough else np.zeros(0)
    return VerificationPairs(
        distances, same, group, fold, kernel, threshold, images, images - len(same) // 2
    )


def _method_pairs(
    observations: Observations, method: str, mode: str, alignment: str
) -> tuple[Floats, Flags, NDArray[np.int64], NDArray[np.int64], list[str], int]:
    """Distance, kind, group, fold and kernel of each pair, and the images before any is lost."""
    rows = observations.rows[method]
    rows = rows[rows["person"].isin(observations.groups)]
    kept = rows
    if mode == "authors":
        lost = rows[f"{alignment}_positive"].isna()
        if alignment == "detected":
            lost |= rows["scrfd_faces"] != 1
        kept = rows[~lost]
    people = kept["person"].tolist()
    distances = [kept[f"{alignment}_{kind}"].to_numpy() for kind in ("positive", "negative")]
    return (
        np.concatenate(distances),
        np.repeat([True, False], len(kept)),
        np.array([observations.groups[person] for person in people] * 2, np.int64),
        np.array([observations.folds[person] for person in people] * 2, np.int64),
        kernel_names(kept) * 2,
        len(rows),
    )


def accuracy(config: Config, pairs: VerificationPairs, mode: str) -> Estimate:
    """Accuracy, 0 to 1; not finite where there are too few people or pairs for two folds.

    ``authors``: mean over the folds, whose sizes may differ by one pair, with the interval of the
    share of all pairs. ``strict``: that share.
    """
    right = correct_decisions(pairs)
    if right is None:
        return NO_ESTIMATE
    people = [str(group) for group in pairs.group]
    stratum = make_stratum(right[:, None], people, 1, config.seed, kernels=pairs.kernel)
    share = first_column(rate_interval(stratum, config.statistics.level))
    if mode != "authors":
        return share
    fold = authors_folds(len(right))
    mean = float(np.mean(np.bincount(fold, right, FOLDS) / np.bincount(fold, minlength=FOLDS)))
    return Estimate(mean, min(share.low, mean), max(share.high, mean))


def correct_decisions(pairs: VerificationPairs) -> Flags | None:
    """Whether each pair is called rightly, [N]; None where there are too few for folds."""
    if not len(pairs.threshold):
        return None
    return is_correct(pairs.distances, pairs.same, pairs.threshold)


def verification_measures(
    config: Config, pairs: VerificationPairs, mode: str
) -> dict[str, Estimate]:
    """Every measure of ``MEASURES`` with its interval; ``*_pct`` and TAR in percent."""
    found = {"accuracy_pct": scale(accuracy(config, pairs, mode))}
    if len(pairs.same) == 0:
        return found | dict.fromkeys(MEASURES[1:], NO_ESTIMATE)
    value = roc_measures(pairs.distances, pairs.same)
    _, place = np.unique(pairs.group, return_inverse=True)
    draws = draw_people(
        int(place.max()) + 1, config.statistics.resamples, config.seed, "verification"
    )
    drawn = [
        roc_measures(pairs.distances, pairs.same, draws[start : start + CHUNK][:, place])
        for start in range(0, len(draws), CHUNK)
    ]
    tail = (1 - config.statistics.level) / 2
    for name, field, factor in (
        ("eer_pct", "eer", 100.0),
        ("auc", "auc", 1.0),
        ("tar_at_far_1pct", "tar", 100.0),
    ):
        samples = np.concatenate([getattr(part, field) for part in drawn])
        low, high = np.nanquantile(samples, [tail, 1 - tail]).tolist()
        found[name] = scale(Estimate(float(getattr(value, field)[0]), low, high), factor)
    return found


def verification_records(
    config: Config, observations: Observations, rows: Sequence[Row]
) -> list[VerificationRecord]:
    """Every measure of every row, in both modes and with both alignments, side by side."""
    return [
        VerificationRecord(
            row=row,
            run=run,
            mode=mode,
            alignment=alignment,
            measure=measure,
            value=bounds.mean,
            ci_low=bounds.low,
            ci_high=bounds.high,
            n_images=pairs.images,
            n_dropped=pairs.dropped,
            n_pairs=len(pairs.same),
            n_people=len(observations.groups),
            profile=config.profile,
        )
        for row, run in _observed_rows(observations, rows)
        for mode in MODES
        for alignment in ALIGNMENTS
        for pairs in [verification_pairs(observations, run, mode, alignment)]
        for measure, bounds in verification_measures(config, pairs, mode).items()
    ]


def roc_records(observations: Observations, rows: Sequence[Row]) -> list[RocRecord]:
    """Points of the ROC of every row, mode ``strict``, both alignments."""
    return [
        RocRecord(row=row, alignment=alignment, far=far, tar=tar)
        for row, run in _observed_rows(observations, rows)
        for alignment in ALIGNMENTS
        for pairs in [verification_pairs(observations, run, "strict", alignment)]
        if len(pairs.same)
        for far, tar in zip(*(rates.tolist() for rates in roc_points(pairs)), strict=True)
    ]


def histogram_records(observations: Observations, rows: Sequence[Row]) -> list[HistogramRecord]:
    """Counts of squared distances by kind of pair, mode ``strict``, alignment ``detected``.

    What is missing from the number of images was not detected.
    """
    return [
        HistogramRecord(row=row, kind=kind, distance=BIN * (place + 0.5), count=count)
        for row, run in _observed_rows(observations, rows)
        for pairs in [verification_pairs(observations, run, "strict", "detected")]
        for kind, counts in distance_histogram(pairs).items()
        for place, count in enumerate(counts.tolist())
    ]


def _observed_rows(observations: Observations, rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """Row and run of the rows whose images were observed."""
    for row in rows:
        if row.run is not None and row.run in observations.rows:
            yield row.key, row.run


def roc_points(pairs: VerificationPairs) -> tuple[Floats, Floats]:
    """FAR and TAR of at most ``ROC_POINTS`` points of the ROC, ends included."""
    far, tar = (rates[0] for rates in roc(pairs.distances, pairs.same))
    chosen = np.unique(np.linspace(0, len(far) - 1, ROC_POINTS).round().astype(int))
    return far[chosen], tar[chosen]


def distance_histogram(pairs: VerificationPairs) -> dict[str, NDArray[np.int64]]:
    """Counts of squared distances in bins of width ``BIN`` from 0 to 4, by kind of pair."""
    edges = np.linspace(0, 4, round(4 / BIN) + 1)
    found = ~np.isnan(pairs.distances)
    return {
        name: np.histogram(pairs.distances[found & kind], edges)[0].astype(np.int64)
        for name, kind in (("positive", pairs.same), ("negative", ~pairs.same))
    }


def first_column(interval: Interval) -> Estimate:
    """Estimate of an interval's first column."""
    return Estimate(float(interval.mean[0]), float(interval.low[0]), float(interval.high[0]))


def scale(bounds: Estimate, factor: float = 100.0) -> Estimate:
    """Estimate in another unit; percent by default."""
    return Estimate(*(factor * value for value in bounds))
