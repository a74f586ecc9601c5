"""How often tests cry wolf and intervals miss, simulated: 5 % and 95 % are what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dfpg.analysis.observations import Observations
from dfpg.analysis.people_bootstrap import LEAST_PEOPLE, holm, mean_interval, paired_test
from dfpg.analysis.ranks import permutation_p
from dfpg.analysis.strata import Stratum, draw_people, make_stratum
from dfpg.analysis.verification import correct_decisions, verification_pairs
from dfpg.core.seeds import generator
from dfpg.evaluation.recognition.pairs import deal_folds
from dfpg.metrics.verification import FOLDS, cross_validate

SHAPES = ("normal", "exponential", "lognormal")
THE_HARDEST = (  # where a shape takes seconds, the others are slow
    "lognormal",
    pytest.param("normal", marks=pytest.mark.slow),
    pytest.param("exponential", marks=pytest.mark.slow),
)


def draw(rng: np.random.Generator, shape: str, size: tuple[int, ...]) -> np.ndarray:
    """Values of mean 0 and about unit spread."""
    if shape == "normal":
        return rng.normal(size=size)
    if shape == "exponential":
        return rng.exponential(size=size) - 1
    return (rng.lognormal(0, 1, size) - np.exp(0.5)) / 2.16


def one_way(people: int, shape: str, columns: int, seed: int, resamples: int = 1000) -> Stratum:
    """Differences of two methods that are equal in the mean; one or two images a person."""
    rng = generator(seed, "one way", people, shape)
    counts = rng.integers(1, 3, people).astype(float)
    noise = 0.3 * rng.normal(size=(people, columns)) * np.sqrt(counts)[:, None]
    sums = counts[:, None] * draw(rng, shape, (people, columns)) + noise
    return Stratum(sums, counts, draw_people(people, resamples, seed, shape))


def crossed(
    people: int, kernels: int, images: int | None, shape: str, parts: tuple[float, float], seed: int
) -> Stratum:
    """Scores with a person's, a kernel's and an image's part; every pair, or ``images`` of them."""
    rng = generator(seed, "crossed", people, kernels, shape)
    pairs = rng.permutation(people * kernels)[:images] if images else np.arange(people * kernels)
    person, kernel = np.divmod(pairs, kernels)
    of_person, of_kernel = parts
    values = of_person * draw(rng, shape, (people, 300))[person]
    values += of_kernel * draw(rng, shape, (kernels, 300))[kernel]
    values += rng.normal(size=values.shape)
    names = [f"{number:03d}" for number in range(max(people, kernels))]
    return make_stratum(
        values,
        [names[n] for n in person],
        500,
        seed,
        kernels=[names[n] for n in kernel],
    )


def covered(strata: list[Stratum]) -> float:
    interval = mean_interval(strata)
    return float(np.mean((interval.low <= 0) & (interval.high >= 0)))


def false_alarms(strata: list[Stratum]) -> float:
    return float(np.mean(paired_test(strata).p < 0.05))


@pytest.mark.parametrize("shape", ["normal", "exponential"])
@pytest.mark.parametrize(
    ("people", "kernels", "images"), [(80, 80, None), (60, 80, 96)], ids=["full", "part"]
)
def test_interval_covers_where_faces_and_kernels_are_crossed(people, kernels, images, shape):
    """Twelve hundred experiments, 300 on the same resamples: noise 0.8 %."""
    samples = [crossed(people, kernels, images, shape, (1, 1), seed) for seed in range(4)]
    assert 0.93 <= np.mean([covered([sample]) for sample in samples]) <= 0.98
    if images is None:  # why people alone are not enough
        assert np.mean([covered([sample.by_person()]) for sample in samples]) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("parts", [(1, 1), (1, 0), (0, 1), (0.3, 1), (0, 0)])
@pytest.mark.parametrize(
    ("people", "kernels", "images"),
    [(80, 80, None), (40, 40, None), (60, 80, 96), (40, 80, 64), (60, 80, 480)],
)
def test_interval_covers_whatever_varies(people, kernels, images, parts, shape):
    """Six thousand experiments: noise 0.3 %. Never more than 98 %, where only images vary."""
    samples = [crossed(people, kernels, images, shape, parts, seed) for seed in range(20)]
    low, high = (0.93, 0.97) if any(parts) else (0.94, 0.98)
    assert low <= np.mean([covered([sample]) for sample in samples]) <= high


def test_interval_of_several_crossed_subsets_covers():
    samples = [
        [crossed(40, 40, None, "exponential", (1, 0.7), 10 * seed + n) for n in range(3)]
        for seed in range(4)
    ]
    assert 0.93 <= np.mean([covered(strata) for strata in samples]) <= 0.975


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("people", [40, 60, 100])
def test_paired_test_has_five_percent_of_false_alarms(people, shape):
    """Four thousand experiments: noise 0.35 %. Student's alone has up to 11 % of a lognormal."""
    limit = 0.08 if (people, shape) == (40, "lognormal") else 0.065  # 40 people show too little
    found = np.mean([false_alarms([one_way(people, shape, 1000, seed)]) for seed in range(4)])
    assert 0.035 <= found <= limit


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("people", [60, 100, 120])
def test_paired_test_has_five_percent_of_false_alarms_in_many_experiments(people, shape):
    found = [false_alarms([one_way(people, shape, 1000, seed, 2000)]) for seed in range(20)]
    assert 0.035 <= np.mean(found) <= 0.065


@pytest.mark.parametrize("shape", THE_HARDEST)
def test_paired_test_over_people_and_kernels_has_five_percent_of_false_alarms(shape):
    samples = [crossed(60, 80, 96, shape, (1, 1), seed) for seed in range(10)]
    samples += [crossed(80, 80, None, shape, (1, 1), seed) for seed in range(4)]
    assert 0.03 <= np.mean([false_alarms([sample]) for sample in samples]) <= 0.065


@pytest.mark.parametrize("shape", THE_HARDEST)
def test_a_family_of_comparisons_has_five_percent_of_false_alarms(shape):
    """Holm's correction of 24 comparisons needs p of 0.2 %, where the skew counts most.

    Sixty people do not show enough of a lognormal's: 14 % (Student's alone: 39 %).
    """
    alarms = []
    for seed in range(5):
        p = paired_test([one_way(60, shape, 24 * 80, seed, 2000)]).p.reshape(80, 24)
        alarms += [bool((holm(family) < 0.05).any()) for family in p]
    assert np.mean(alarms) <= {"normal": 0.065, "exponential": 0.08, "lognormal": 0.17}[shape]


@pytest.mark.parametrize("shape", SHAPES)
def test_interval_and_test_agree_on_zero(shape):
    for strata in ([one_way(30, shape, 500, 0)], [crossed(30, 40, 60, shape, (1, 1), 0)]):
        interval = mean_interval(strata)
        outside = (interval.low > 0) | (interval.high < 0)
        np.testing.assert_array_equal(paired_test(strata).p < 0.05, outside)
        assert outside.any()


def verification_p(seed: int, people: int, own: bool) -> float:
    """p of two equal methods that err alike; ``own``: each has its own thresholds."""
    rng = generator(seed, "verification", people)
    names = [f"p{number:03d}" for number in range(people)]
    images = names + names[: people // 2]
    groups = {name: number // 2 for number, name in enumerate(names)}
    frames = {}
    for method in ("sharp", "one", "two"):
        level = 0.0 if method == "sharp" else 0.25
        frames[method] = pd.DataFrame({"person": images, "scrfd_faces": 1})
        for kind, mean in (("positive", 0.9 + level), ("negative", 1.7)):
            shared = generator(seed, kind)
            persons = 0.2 * shared.normal(size=people)[[names.index(name) for name in images]]
            noise = 0.3 * shared.normal(size=len(images)) + 0.1 * rng.normal(size=len(images))
            frames[method][f"detected_{kind}"] = mean + persons + noise
        frames[method]["dlib_hog_score"] = frames[method]["scrfd_score"] = 1.0
    observations = Observations(frames, groups, deal_folds(groups, FOLDS, seed))
    scores = []
    for method in ("one", "two"):
        pairs = verification_pairs(observations, method, "strict", "detected")
        right = cross_validate(pairs.distances, pairs.same, pairs.fold) if own else None
        right = correct_decisions(pairs) if right is None else right
        assert right is not None
        scores.append(right.astype(float))
    units = [str(group) for group in pairs.group]
    stratum = make_stratum((scores[0] - scores[1])[:, None], units, 300, seed)
    return float(paired_test([stratum]).p[0])


@pytest.mark.slow
@pytest.mark.parametrize("people", [60, 100])
def test_strict_verification_of_equal_methods_differs_in_five_percent(people):
    """Eight hundred experiments each: noise 0.8 %."""
    p = np.array([verification_p(seed, people, own=False) for seed in range(800)])
    assert 0.03 <= np.mean(p < 0.05) <= 0.065


@pytest.mark.slow
def test_thresholds_of_their_own_cry_wolf():
    """Why there is a common one."""
    p = np.array([verification_p(seed, 60, own=True) for seed in range(400)])
    assert np.mean(p < 0.05) > 0.065


@pytest.mark.slow
def test_orders_of_unrelated_methods_correlate_in_five_percent(config):
    """Six methods, all 720 orders: the test is exact, so no more than 5 %."""
    rng, paper = np.random.default_rng(0), np.arange(6.0)
    p = np.array(
        [permutation_p(config, rng.permutation(6).astype(float), paper) for _ in range(400)]
    )
    assert 0.02 <= np.mean(p < 0.05) <= 0.07


@pytest.mark.parametrize("shape", SHAPES)
def test_an_interval_of_few_people_is_not_given(shape):
    for people in (2, LEAST_PEOPLE - 1):
        strata = [one_way(people, shape, 20, 0)]
        assert np.isnan(mean_interval(strata).low).all()
        assert np.isnan(mean_interval(strata).high).all()
        assert np.isnan(paired_test(strata).p).all()
        assert np.isfinite(mean_interval(strata).mean).all()
    assert np.isfinite(paired_test([one_way(LEAST_PEOPLE, shape, 20, 0)]).p).all()
