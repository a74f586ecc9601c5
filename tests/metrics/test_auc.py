from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from dfpg.core.errors import UserError
from dfpg.metrics.auc import Pairs, auc_intervals, cosines, draw_pairs, pair_weights

PEOPLE = [f"p{index // 4}" for index in range(80)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def embeddings(rng: np.random.Generator, spread: float) -> np.ndarray:
    centres = rng.standard_normal((20, 16))
    return np.repeat(centres, 4, axis=0) + spread * rng.standard_normal((80, 16))


def area(scores: np.ndarray, pairs: Pairs) -> float:
    return auc_intervals({"net": scores}, pairs, seed=0, resamples=9, level=0.9)["net"].value


@pytest.mark.parametrize("decimals", [1, 15])
def test_area_is_the_share_of_pairs_in_the_right_order(
    rng: np.random.Generator, decimals: int
) -> None:
    """Mann and Whitney's count over all combinations; ties count half."""
    pairs = draw_pairs(PEOPLE, seed=0)
    scores = (rng.standard_normal(len(pairs.first)) + pairs.same).round(decimals)
    gap = scores[pairs.same][:, None] - scores[~pairs.same]
    assert area(scores, pairs) == pytest.approx(((gap > 0) + (gap == 0) / 2).mean())


def test_equals_closed_form_of_two_normal_distributions(rng: np.random.Generator) -> None:
    pairs = draw_pairs([f"p{index // 40}" for index in range(4_000)], seed=0)
    scores = rng.standard_normal(len(pairs.first)) + 1.0 * pairs.same
    assert area(scores, pairs) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.005)


def test_extremes() -> None:
    pairs = draw_pairs(["a", "a", "b", "b"], seed=0)
    assert area(1.0 * pairs.same, pairs) == 1.0
    assert area(-1.0 * pairs.same, pairs) == 0.0
    assert area(np.zeros(4), pairs) == 0.5


def test_resamples_without_pairs_of_one_kind_are_left_out() -> None:
    """Of two people one is drawn twice in half of the resamples: no pair shows two people."""
    pairs = draw_pairs(["a", "a", "b", "b"], seed=0)
    found = auc_intervals({"net": 1.0 * pairs.same}, pairs, seed=0, resamples=50, level=0.9)
    assert (found["net"].low, found["net"].high) == (1.0, 1.0)


def test_pairs_are_all_same_person_pairs_and_as_many_others() -> None:
    pairs = draw_pairs(PEOPLE, seed=0)
    expected = {(i, j) for i in range(80) for j in range(i + 1, 80) if PEOPLE[i] == PEOPLE[j]}
    assert pairs.n_people == 20
    assert pairs.same.sum() == len(expected) == len(pairs.first) / 2 == 120
    found = zip(pairs.first[pairs.same].tolist(), pairs.second[pairs.same].tolist(), strict=True)
    assert set(found) == expected
    different = zip(pairs.first[~pairs.same], pairs.second[~pairs.same], strict=True)
    assert all(PEOPLE[i] != PEOPLE[j] for i, j in different)


def test_pairs_depend_on_the_seed_alone() -> None:
    first, again, other = (draw_pairs(PEOPLE, seed).second for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("people", [["a", "a", "a"], ["a", "b", "c"], []])
def test_too_few_people_is_a_user_error(people: list[str]) -> None:
    with pytest.raises(UserError, match="verification needs two people"):
        draw_pairs(people, seed=0)


def test_cosine_ignores_length(rng: np.random.Generator) -> None:
    pairs = draw_pairs(PEOPLE, seed=0)
    values = embeddings(rng, 1.0).astype(np.float32)
    scaled = values * rng.uniform(0.5, 2, (80, 1))
    np.testing.assert_allclose(cosines(values, pairs), cosines(scaled, pairs), atol=1e-6)
    i, j = pairs.first[0], pairs.second[0]
    expected = values[i] @ values[j] / np.linalg.norm(values[i]) / np.linalg.norm(values[j])
    assert cosines(values, pairs)[0] == pytest.approx(expected, abs=1e-6)


def test_pairs_are_weighted_by_how_often_their_people_are_drawn() -> None:
    pairs = draw_pairs(["a", "a", "b", "b", "c"], seed=0)
    weights = pair_weights(pairs, np.array([[2, 3, 0], [1, 1, 1]]))
    count = {"a": 2, "b": 3, "c": 0}
    name = "aabbc"
    expected = [
        count[name[i]] * (1 if name[i] == name[j] else count[name[j]])
        for i, j in zip(pairs.first, pairs.second, strict=True)
    ]
    assert weights.tolist() == [expected, [1.0] * 4]
    assert weights[0, :2].tolist() == [2, 3]


def test_interval_equals_a_plain_bootstrap_over_people(rng: np.random.Generator) -> None:
    pairs = draw_pairs(PEOPLE, seed=0)
    scores = cosines(embeddings(rng, 2.0), pairs)
    found = auc_intervals({"net": scores}, pairs, seed=0, resamples=600, level=0.9)["net"]
    plain = []
    for _ in range(600):
        count = np.bincount(rng.integers(20, size=20), minlength=20)
        take = [
            count[a] if a == b else count[a] * count[b]
            for a, b in zip(pairs.first_person, pairs.second_person, strict=True)
        ]
        plain.append(roc_auc_score(pairs.same, scores, sample_weight=take))
    low, high = np.quantile(plain, [0.05, 0.95])
    assert found.low == pytest.approx(low, abs=0.2 * (high - low))
    assert found.high == pytest.approx(high, abs=0.2 * (high - low))
    assert found.low < found.value < found.high


def test_gain_is_paired(rng: np.random.Generator) -> None:
    pairs = draw_pairs(PEOPLE, seed=0)
    scores = cosines(embeddings(rng, 2.0), pairs)
    better = scores + 0.05 * pairs.same
    found = auc_intervals({"before": scores, "after": better}, pairs, 0, 200, 0.95)
    assert found["gain"].value == pytest.approx(found["after"].value - found["before"].value)
    assert found["gain"].low > 0
    assert found["gain"].high - found["gain"].low < found["after"].high - found["after"].low
    equal = auc_intervals({"before": scores, "after": scores}, pairs, 0, 50, 0.95)["gain"]
    assert (equal.value, equal.low, equal.high) == (0, 0, 0)
