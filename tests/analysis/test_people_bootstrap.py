from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from dfpg.analysis.people_bootstrap import holm, mean_interval, paired_p, paired_test, rate_interval
from dfpg.analysis.strata import Stratum, draw_people, make_stratum
from dfpg.core.seeds import generator


def crossed(people, images, seed, columns=1, spread=1.0):
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), images)
    values = rng.normal(0, spread, (people, columns))[who] + rng.normal(size=(len(who), columns))
    return values, [f"p{number:03d}" for number in who]


def test_mean_is_over_images_not_over_people():
    stratum = make_stratum([[1.0], [1.0], [1.0], [5.0]], ["a", "a", "a", "b"], 50, 0)
    assert mean_interval([stratum]).mean[0] == pytest.approx(2.0)


def test_interval_equals_a_plain_loop_over_resampled_people():
    values, people = crossed(12, 4, 3)
    values, people = np.exp(values[:-3]), people[:-3]  # skewed, and unequal numbers of images
    stratum = make_stratum(values, people, 300, 5, "loop")
    names = sorted(set(people))
    groups = [[v[0] for v, who in zip(values, people, strict=True) if who == n] for n in names]

    def mean_and_error(sample):
        count = sum(map(len, sample))
        mean = sum(map(sum, sample)) / count
        square = sum((sum(group) - mean * len(group)) ** 2 for group in sample)
        return mean, np.sqrt(square * len(sample) / (len(sample) - 1)) / count

    mean, error = mean_and_error(groups)
    pivots = []
    for draw in stratum.draws.astype(int):
        again = [group for group, times in zip(groups, draw, strict=True) for _ in range(times)]
        other, spread = mean_and_error(again)
        pivots.append((other - mean) / spread)
    student = stats.t.ppf(0.95, len(groups) - 1)
    below, above = np.quantile(pivots, 0.95), -np.quantile(pivots, 0.05)
    assert min(below, above) < student < max(below, above)  # each rules at one end
    interval = mean_interval([stratum], 0.9)
    assert interval.low[0] == pytest.approx(mean - max(below, student) * error)
    assert interval.high[0] == pytest.approx(mean + max(above, student) * error)


def test_interval_of_many_people_approaches_the_normal_one():
    values, people = crossed(400, 1, 0, columns=3)
    interval = mean_interval([make_stratum(values, people, 8000, 0)])
    half = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    np.testing.assert_allclose(interval.high - interval.low, 2 * half, rtol=0.06)


def test_interval_widens_where_the_pictures_of_a_person_agree():
    values, people = crossed(30, 8, 1, spread=3.0)
    by_person = mean_interval([make_stratum(values, people, 500, 0)])
    alone = [f"{number:04d}" for number in range(len(people))]
    by_image = mean_interval([make_stratum(values, alone, 500, 0)])
    assert (by_person.high - by_person.low)[0] > 2 * (by_image.high - by_image.low)[0]


def test_columns_are_independent_of_their_neighbours_and_of_row_order():
    values, people = crossed(15, 3, 2, columns=4)
    together = mean_interval([make_stratum(values, people, 200, 0)])
    order = np.random.default_rng(0).permutation(len(people))
    shuffled = [people[number] for number in order]
    single = mean_interval([make_stratum(values[order][:, [2]], shuffled, 200, 0)])
    assert single.low[0] == pytest.approx(together.low[2])
    assert single.high[0] == pytest.approx(together.high[2])


def test_interval_moves_and_scales_with_the_values():
    values, people = crossed(20, 2, 4)
    plain = mean_interval([make_stratum(values, people, 400, 0)])
    moved = mean_interval([make_stratum(3 * values + 50, people, 400, 0)])
    assert moved.low[0] == pytest.approx(3 * plain.low[0] + 50)
    assert moved.high[0] == pytest.approx(3 * plain.high[0] + 50)


def test_strata_count_equally_and_narrow_the_interval():
    one, people = crossed(40, 1, 5)
    two, others = crossed(40, 5, 6)
    strata = [make_stratum(one, people, 3000, 0, "x"), make_stratum(two + 4, others, 3000, 0, "y")]
    interval = mean_interval(strata)
    assert interval.mean[0] == pytest.approx((one.mean() + two.mean() + 4) / 2)
    widths = [np.ptp([part.low[0], part.high[0]]) for part in (mean_interval([s]) for s in strata)]
    assert interval.high[0] - interval.low[0] == pytest.approx(np.hypot(*widths) / 2, rel=0.08)


def by_kernels(effects, subset, offset=0):
    """A subset whose images, each of its own person, differ by their kernel alone."""
    names = [f"13/{offset + number}" for number in range(len(effects))]
    people = [f"{subset}{number}" for number in range(len(effects))]
    return make_stratum(np.asarray(effects)[:, None], people, 500, 0, subset, kernels=names)


def test_kernels_that_subsets_share_are_units_of_their_mean():
    """Two subsets of the same kernels tell no more of them than one does."""
    effects = np.random.default_rng(4).normal(size=60)
    alone = mean_interval([by_kernels(effects, "helen")])
    shared = mean_interval([by_kernels(effects, name) for name in ("helen", "celeba")])
    apart = mean_interval([by_kernels(effects, "a"), by_kernels(effects, "b", offset=60)])
    assert shared.mean[0] == pytest.approx(alone.mean[0])
    width = float(alone.high[0] - alone.low[0])
    assert float(shared.high[0] - shared.low[0]) == pytest.approx(width, rel=0.02)
    assert float(apart.high[0] - apart.low[0]) == pytest.approx(width / np.sqrt(2), rel=0.1)


def test_subsets_that_share_some_kernels_lie_between():
    """Of half of the kernels shared, three quarters are different ones; subsets count equally."""
    effects = np.random.default_rng(4).normal(size=90)
    first, second = effects[:60], np.concatenate([effects[30:], effects[30:60]])
    names = [f"13/{number}" for number in [*range(30, 90), *range(30, 60)]]
    people = [f"b{number}" for number in range(90)]
    other = make_stratum(second[:, None], people, 500, 0, "b", kernels=names)
    found = mean_interval([by_kernels(first, "a"), other])
    # Weight of each kernel in the mean, and the standard error of such a sum.
    weights = np.zeros(90)
    weights[:60] += 1 / 120
    np.add.at(weights, [*range(30, 90), *range(30, 60)], 1 / 180)
    centred = np.zeros(90)
    centred[:60] += (first - first.mean()) / 120
    np.add.at(centred, [*range(30, 90), *range(30, 60)], (second - second.mean()) / 180)
    error = np.sqrt(90 / 89 * (centred**2).sum())
    half = stats.t.ppf(0.975, 89) * error
    assert found.mean[0] == pytest.approx(weights @ effects)
    assert float(found.mean[0] - found.low[0]) == pytest.approx(half, rel=0.15)


def test_of_one_kernel_the_interval_is_over_people():
    values, people = crossed(30, 2, 7)
    plain = make_stratum(values, people, 200, 0)
    same = make_stratum(values, people, 200, 0, kernels=["13/0"] * len(people))
    assert mean_interval([same]).low[0] == mean_interval([plain]).low[0]


def test_constant_values_have_an_interval_of_no_width():
    stratum = make_stratum(np.full((24, 1), 0.1), [str(n % 12) for n in range(24)], 100, 0)
    interval = mean_interval([stratum])
    assert interval.low[0] == pytest.approx(0.1)
    assert interval.high[0] == pytest.approx(0.1)


def test_infinite_column_and_single_person_have_no_bounds():
    values, people = crossed(12, 2, 0, columns=2)
    values[3, 0] = np.inf
    interval = mean_interval([make_stratum(values, people, 100, 0)])
    assert interval.mean[0] == np.inf
    assert np.isnan(interval.low[0])
    assert np.isfinite(interval.low[1])
    alone = mean_interval([make_stratum(values[:, [1]], ["one"] * 24, 100, 0)])
    assert np.isfinite(alone.mean[0])
    assert np.isnan(alone.low[0])


def coverage(people: int, shape: str, experiments: int, seed: int) -> float:
    """Share of experiments whose 95 % interval covers a mean of 1; 1 to 4 images a person."""
    rng = generator(seed, "coverage", people, shape)
    counts = rng.integers(1, 5, people).astype(float)
    size = (people, experiments)
    person = {
        "normal": lambda: 1 + rng.normal(size=size),
        "exponential": lambda: rng.exponential(1, size),
        "lognormal": lambda: rng.lognormal(-0.5, 1, size),
    }[shape]()
    noise = 0.5 * rng.normal(size=size) * np.sqrt(counts)[:, None]
    sums = person * counts[:, None] + noise
    interval = mean_interval([Stratum(sums, counts, draw_people(people, 1000, seed))])
    return float(np.mean((interval.low <= 1) & (interval.high >= 1)))


@pytest.mark.parametrize("people", [40, 60, 100])
@pytest.mark.parametrize("shape", ["normal", "exponential"])
def test_interval_covers_what_it_says(people, shape):
    """Twelve hundred experiments as columns: binomial noise is 0.6 %."""
    assert 0.93 <= coverage(people, shape, 1200, 0) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("people", [40, 60, 100])
@pytest.mark.parametrize("shape", ["normal", "exponential", "lognormal"])
def test_interval_covers_what_it_says_over_many_sets_of_counts(people, shape):
    """Twelve thousand experiments: noise 0.2 %. The bootstrap alone covers a lognormal less."""
    covered = np.mean([coverage(people, shape, 600, seed) for seed in range(20)])
    assert 0.93 <= covered <= 0.97


def rates(people: int, images: int, mean: float, columns: int, seed: int):
    """Stratum of 0/1 values whose people have beta-distributed rates about ``mean``."""
    rng = np.random.default_rng(seed)
    own = rng.beta(2 * mean, 2 * (1 - mean), (people, columns))
    sums = rng.binomial(images, own).astype(float)
    return Stratum(sums, np.full(people, float(images)), np.ones((1, people)))


@pytest.mark.parametrize("mean", [0.8, 0.96, 0.99])
def test_rate_interval_covers_where_the_bootstrap_does_not(mean):
    stratum = rates(60, 2, mean, 2000, 0)
    interval = rate_interval(stratum)
    covered = np.mean((interval.low <= mean) & (mean <= interval.high))
    assert covered >= 0.93
    if mean == 0.99:
        draws = draw_people(60, 500, 0)
        bootstrap = mean_interval([Stratum(stratum.sums, stratum.counts, draws)])
        assert np.mean((bootstrap.low <= mean) & (mean <= bootstrap.high)) < 0.7


def test_rate_interval_is_near_the_exact_one_with_one_image_per_person():
    values = np.arange(80)[:, None] < np.array([4, 40, 77])
    interval = rate_interval(make_stratum(values, [f"{n:02d}" for n in range(80)], 1, 0))
    for column, hits in enumerate((4, 40, 77)):
        exact = stats.binomtest(hits, 80).proportion_ci(0.95)
        assert interval.mean[column] == hits / 80
        assert interval.low[column] == pytest.approx(exact.low, abs=0.004)
        assert interval.high[column] == pytest.approx(exact.high, abs=0.004)


def test_rate_interval_counts_people_where_all_are_alike():
    values = np.repeat([[0.0, 1.0]], 90, axis=0)
    people = [str(n % 30) for n in range(90)]
    interval = rate_interval(make_stratum(values, people, 1, 0))
    exact = stats.binomtest(0, 30).proportion_ci(0.95)
    np.testing.assert_allclose([interval.low[0], interval.high[0]], [0, exact.high])
    np.testing.assert_allclose([interval.low[1], interval.high[1]], [1 - exact.high, 1])
    alone = rate_interval(make_stratum(values, ["a"] * 90, 1, 0))
    assert np.isnan([alone.low, alone.high]).all()


def test_paired_p_is_the_paired_t_test_with_one_image_per_person():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 25, 3))
    two += np.array([0.0, 0.5, 2.0])
    stratum = make_stratum(two - one, [f"{n:02d}" for n in range(25)], 10, 0)
    np.testing.assert_allclose(paired_p([stratum]), stats.ttest_rel(two, one).pvalue)


def test_paired_test_has_the_sign_of_the_difference_and_counts_people_of_all_strata():
    rng = np.random.default_rng(1)
    values = rng.normal(-1, 1, (30, 1))
    people = [f"{n:02d}" for n in range(30)]
    expected = stats.ttest_1samp(values[:, 0], 0)
    found = paired_test([make_stratum(values, people, 10, 0)])
    assert found.t[0] == pytest.approx(expected.statistic)
    assert found.p[0] == pytest.approx(expected.pvalue)
    two = [make_stratum(part, people[:15], 10, 0) for part in (values[:15], values[15:])]
    assert (found.degrees_of_freedom, paired_test(two).degrees_of_freedom) == (29, 28)


def test_interval_that_leaves_zero_out_has_a_p_below_five_percent():
    rng = np.random.default_rng(2)
    strata = [
        make_stratum(rng.exponential(1, (20, 400)) - 1.4, [str(n) for n in range(20)], 500, 0)
    ]
    interval, p = mean_interval(strata), paired_p(strata)
    outside = (interval.low > 0) | (interval.high < 0)
    assert 50 < outside.sum() < 350
    assert (p[outside] < 0.05).all()


def test_paired_p_counts_people_and_not_copies_of_their_pictures():
    values, people = crossed(20, 1, 7)
    once = paired_p([make_stratum(values, people, 10, 0)])
    repeated = paired_p([make_stratum(np.repeat(values, 9, 0), np.repeat(people, 9), 10, 0)])
    np.testing.assert_allclose(once, repeated)


def test_paired_p_of_equal_methods_is_one_and_of_no_test_is_nan():
    same = make_stratum(np.zeros((12, 1)), [str(n) for n in range(12)], 10, 0)
    assert paired_p([same])[0] == 1
    alone = make_stratum(np.ones((3, 1)), ["a"] * 3, 10, 0)
    assert np.isnan(paired_p([alone])[0])


def test_a_difference_that_every_image_shows_alike_is_certain():
    names = [str(number) for number in range(20)]
    test = paired_test([make_stratum(np.full((20, 1), -3.0), names, 50, 0)])
    assert (test.t[0], test.p[0]) == (-np.inf, 0)


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 = 0.02, 0.03, 0.06, 0.04; then never falling.
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_was_not_tested_and_stops_at_one():
    np.testing.assert_allclose(holm([0.02, np.nan, 0.9]), [0.04, np.nan, 0.9])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    assert holm([]).size == 0


def test_a_table_of_thirty_rows_takes_seconds():
    values, people = crossed(100, 80, 0, columns=30 * 9)
    started = time.process_time()  # other programs do not count
    interval = mean_interval([make_stratum(values, people, 2000, 0)])
    assert np.isfinite(interval.low).all()
    assert time.process_time() - started < 10
