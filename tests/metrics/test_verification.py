from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import KFold

from dfpg.metrics.verification import (
    authors_folds,
    best_threshold,
    cross_validate,
    roc,
    roc_measures,
)


def drawn(rng: np.random.Generator, positive: int, negative: int, apart: float = 0.5):
    same = np.repeat([True, False], [positive, negative])
    distances = rng.normal(1.5 - apart * same, 0.3).clip(0, 4)
    return distances, same


def authors_protocol(distances, same):
    """The described protocol, step by step: thresholds by brute force, scikit-learn's folds."""
    accuracies = []
    thresholds = np.arange(0, 4, 1e-4)
    for train, test in KFold(n_splits=10, shuffle=False).split(distances):
        scores = ((distances[train] < thresholds[:, None]) == same[train]).mean(axis=1)
        threshold = thresholds[int(np.argmax(scores))]
        accuracies.append(np.mean((distances[test] < threshold) == same[test]))
    return np.mean(accuracies)


@pytest.mark.parametrize(("positive", "negative"), [(30, 30), (37, 26)])
def test_lab_equals_the_protocol_written_out(positive, negative):
    distances, same = drawn(np.random.default_rng(positive), positive, negative)
    folds = authors_folds(len(same))
    right = cross_validate(distances, same, folds)
    ours = np.mean([right[folds == fold].mean() for fold in range(10)])
    assert ours == pytest.approx(authors_protocol(distances, same), abs=1e-12)


def test_lab_folds_are_those_of_scikit_learn():
    for count in (10, 57, 600):
        expected = np.zeros(count)
        for fold, (_, test) in enumerate(KFold(10).split(np.zeros(count))):
            expected[test] = fold
        np.testing.assert_array_equal(authors_folds(count), expected)


def test_best_threshold_parts_what_can_be_parted():
    distances, same = np.array([0.5, 0.9, np.nan, 1.3, 2.0]), np.array([1, 1, 1, 0, 0], bool)
    threshold = best_threshold(distances, same)
    assert 0.9 < threshold <= 0.9002
    assert best_threshold(distances[3:], same[3:]) == 0.0


def test_the_threshold_of_a_fold_does_not_see_the_fold():
    distances, same = drawn(np.random.default_rng(0), 50, 50)
    folds = np.arange(100) % 10
    right = cross_validate(distances, same, folds)
    inside = folds == 3
    moved = np.where(inside, 4 - distances, distances)
    again = cross_validate(moved, same, folds)
    threshold = best_threshold(distances[~inside], same[~inside])
    np.testing.assert_array_equal(again[inside], (moved[inside] < threshold) == same[inside])
    np.testing.assert_array_equal(right[inside], (distances[inside] < threshold) == same[inside])


def test_what_is_not_found_is_an_error():
    distances, same = drawn(np.random.default_rng(0), 50, 50, apart=1.4)
    folds = np.arange(100) % 10
    right = cross_validate(distances, same, folds)
    assert right[[4, 70]].all()
    distances[[4, 70]] = np.nan
    right[[4, 70]] = False
    np.testing.assert_array_equal(cross_validate(distances, same, folds), right)


@pytest.mark.parametrize("decimals", [1, 15])
def test_roc_equals_scikit_learn(decimals):
    rng = np.random.default_rng(1)
    distances, same = drawn(rng, 300, 500)
    distances = distances.round(decimals)  # ties
    weights = rng.integers(1, 4, (3, 800)).astype(float)
    far, tar = roc(distances, same, weights)
    found = roc_measures(distances, same, weights)
    for row in range(3):
        x, y, _ = roc_curve(same, -distances, sample_weight=weights[row], drop_intermediate=False)
        np.testing.assert_allclose(far[row], x, atol=1e-12)
        np.testing.assert_allclose(tar[row], y, atol=1e-12)
        area = roc_auc_score(same, -distances, sample_weight=weights[row])
        assert found.auc[row] == pytest.approx(area)
        eer = brentq(lambda rate, x=x, y=y: 1 - rate - interp1d(x, y)(rate), 0, 1)
        assert found.eer[row] == pytest.approx(eer, abs=1e-9)
        assert found.tar[row] == pytest.approx(y[x <= 0.01].max())


def test_two_normal_distributions_have_their_closed_forms():
    rng = np.random.default_rng(2)
    same = np.arange(400_000) % 2 == 0
    distances = rng.standard_normal(len(same)) - 2.0 * same
    found = roc_measures(distances, same)
    assert found.auc[0] == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.002)
    assert found.eer[0] == pytest.approx(norm.cdf(-1), abs=0.002)
    assert found.tar[0] == pytest.approx(norm.cdf(2 + norm.ppf(0.01)), abs=0.01)


def test_perfect_inverted_and_undefined():
    same = np.array([True, True, False, False])
    perfect = roc_measures(np.array([0.1, 0.2, 1.0, 2.0]), same)
    assert [float(value[0]) for value in perfect] == [1, 0, 1]
    inverted = roc_measures(np.array([1.0, 2.0, 0.1, 0.2]), same)
    assert [float(value[0]) for value in inverted] == [0, 1, 0]
    constant = roc_measures(np.ones(4), same)
    assert [float(value[0]) for value in constant] == [0.5, 0.5, 0]
    without = roc_measures(np.ones(4), same, np.array([[1.0, 1, 0, 0]]))
    assert np.isnan([float(value[0]) for value in without]).all()


def test_a_face_that_is_not_found_is_never_accepted():
    distances, same = drawn(np.random.default_rng(3), 100, 100, apart=1.4)
    lost = np.zeros(200, bool)
    lost[:20] = lost[100:120] = True
    found = roc_measures(np.where(lost, np.nan, distances), same)
    assert found.tar[0] == pytest.approx(0.8)
    # Parted otherwise: the ROC rises to 0.8 at FAR 0, runs flat to 0.8, and on to (1, 1).
    assert found.eer[0] == pytest.approx(0.2)
    assert found.auc[0] == pytest.approx(0.8 * 0.8 + 0.2 * 0.9)
