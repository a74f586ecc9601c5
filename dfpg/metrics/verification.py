"""Same person or not, from distances of pairs: accuracy, ROC, EER, TAR at a FAR.

The authors' way is that of dolphin0104/MSPL-GAN.

A pair is accepted as one person where its squared L2 distance of unit embeddings, 0 to 4, is below
a threshold. NaN stands for a probe whose face was not found: it is an error where accuracy is
counted, and never accepted on the ROC (a missed positive, a rejected negative).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

FOLDS = 10
THRESHOLDS: Floats = np.arange(0, 4, 1e-4)  # the authors'


class Measures(NamedTuple):
    """Of the ROC, each [R]: area, equal error rate, and TAR where FAR is at most ``far``."""

    auc: Floats
    eer: Floats
    tar: Floats


def best_threshold(distances: Floats, same: Flags) -> float:
    """The least of ``THRESHOLDS`` with the greatest accuracy; pairs without a distance are out."""
    accepted_same, accepted_other = (
        np.searchsorted(np.sort(distances[kind & ~np.isnan(distances)]), THRESHOLDS, side="left")
        for kind in (same, ~same)
    )
    return float(THRESHOLDS[(accepted_same - accepted_other).argmax()])


def fold_thresholds(distances: Floats, same: Flags, folds: NDArray[np.int64]) -> Floats:
    """Threshold of each pair [N]: the best one on the folds that the pair is not in.

    Args:
        distances: [N]; NaN is left out.
        same: whether the pair shows one person, [N].
        folds: fold of each pair, [N].
    """
    thresholds = np.zeros(len(distances))
    for fold in np.unique(folds):
        inside = folds == fold
        thresholds[inside] = best_threshold(distances[~inside], same[~inside])
    return thresholds


def cross_validate(distances: Floats, same: Flags, folds: NDArray[np.int64]) -> Flags:
    """Whether each pair is classified correctly at its threshold of :func:`fold_thresholds`."""
    return is_correct(distances, same, fold_thresholds(distances, same, folds))


def is_correct(distances: Floats, same: Flags, thresholds: Floats) -> Flags:
    """Whether each pair [N] is classified correctly at its threshold; not at a distance of NaN."""
    right: Flags = ((distances < thresholds) == same) & ~np.isnan(distances)
    return right


def authors_folds(pairs: int) -> NDArray[np.int64]:
    """Ten runs of pairs in the order given, the first ones a pair longer where it does not divide.

    The authors list all positive pairs before all negative ones: nearly every fold holds one kind.
    """
    return np.repeat(np.arange(FOLDS), [len(p) for p in np.array_split(np.arange(pairs), FOLDS)])


def roc(distances: Floats, same: Flags, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """FAR and TAR, each [R, K + 1], from accepting nothing to accepting everything.

    For one weighting it is scikit-learn's ``roc_curve``, which takes one at a time and so seventy
    times as long for the 2,000 resamples of a bootstrap.

    Args:
        distances: [N]; NaN counts as infinite.
        same: [N].
        weights: of the pairs, [R, N]; None weighs all alike (R = 1).
    """
    weights = np.ones((1, len(distances))) if weights is None else weights
    ranked = np.where(np.isnan(distances), np.inf, distances)
    order = np.argsort(ranked, kind="stable")
    last = np.append(ranked[order][1:] != ranked[order][:-1], True)  # of equal distances
    rates = []
    for kind in (~same, same):
        accepted = np.cumsum((weights * kind)[:, order], axis=1)[:, last]
        with np.errstate(invalid="ignore", divide="ignore"):
            rates.append(np.pad(accepted / accepted[:, -1:], ((0, 0), (1, 0))))
    return rates[0], rates[1]


def roc_measures(
    distances: Floats, same: Flags, weights: Floats | None = None, far: float = 0.01
) -> Measures:
    """AUC, EER and TAR at a FAR for each row of weights; NaN where one kind has no weight.

    The EER lies where the ROC, joined by straight lines, meets FAR = 1 - TAR. The TAR is that of
    the largest threshold whose FAR is at most ``far``, without interpolation.
    """
    x, y = roc(distances, same, weights)
    auc = np.trapezoid(y, x, axis=1)
    balance = x + y - 1  # rises from -1 to 1
    after = np.maximum((balance >= 0).argmax(axis=1), 1)[:, None]
    (x0, x1), (b0, b1) = (
        [np.take_along_axis(values, after - step, axis=1)[:, 0] for step in (1, 0)]
        for values in (x, balance)
    )
    eer = x0 + (x1 - x0) * b0 / (b0 - b1)
    tar = np.where(x <= far, y, 0).max(axis=1)
    undefined = np.isnan(x).any(axis=1) | np.isnan(y).any(axis=1)
    return Measures(*(np.where(undefined, np.nan, values) for values in (auc, eer, tar)))
