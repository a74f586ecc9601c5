from __future__ import annotations

import numpy as np
import pytest

from dfpg.analysis.strata import (
    draw_people,
    kernel_strata,
    make_stratum,
    per_image_mean,
    resample,
    variance_of_mean,
)


def test_draws_are_resamples_of_all_people_and_seeded():
    draws = draw_people(12, 500, 0, "b", "ffhq")
    assert draws.shape == (500, 12)
    assert (draws.sum(axis=1) == 12).all()
    assert draws.mean() == pytest.approx(1)
    assert draws.var() == pytest.approx(1 - 1 / 12, abs=0.05)
    np.testing.assert_array_equal(draws, draw_people(12, 500, 0, "b", "ffhq"))
    assert (draws != draw_people(12, 500, 0, "b", "celeba")).any()
    assert (draws != draw_people(12, 500, 1, "b", "ffhq")).any()


def some_scores(people, images, seed):
    """Scores of two columns, skewed, with unequal numbers of images a person."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(people), images)[: people * images - 3]
    values = np.exp(rng.normal(size=(people, 2))[who] + rng.normal(size=(len(who), 2)))
    return values, [f"p{number:03d}" for number in who]


def test_variance_of_the_mean_is_that_of_a_ratio_of_sums():
    values, people = some_scores(12, 4, 0)
    stratum = make_stratum(values, people, 10, 0)
    mean = values.mean(axis=0)
    names = sorted(set(people))
    residuals = [
        sum(value - mean for value, person in zip(values, people, strict=True) if person == name)
        for name in names
    ]
    expected = 12 / 11 * np.square(residuals).sum(axis=0) / len(values) ** 2
    np.testing.assert_allclose(per_image_mean(stratum), mean)
    np.testing.assert_allclose(variance_of_mean(stratum), expected)


def test_resamples_shift_the_mean_as_drawn_people_do():
    values, people = some_scores(9, 3, 1)
    stratum = make_stratum(values, people, 40, 0)
    shift, _ = resample(stratum)
    names = np.array(sorted(set(people)))
    for draw, found in zip(stratum.draws.astype(int), shift, strict=True):
        drawn = [
            value for name in np.repeat(names, draw) for value in values[np.equal(people, name)]
        ]
        np.testing.assert_allclose(found, np.mean(drawn, axis=0) - values.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize(("offset", "strata"), [(0, 1), (20, 1), (30, 2)])
def test_strata_that_share_kernels_become_one_with_their_mean(offset, strata):
    values, people = some_scores(30, 2, 2)
    names = [f"13/{number % 30}" for number in range(len(values))]
    others = [f"13/{offset + number % 30}" for number in range(len(values))]
    parts = [
        make_stratum(values, people, 50, 0, "one", kernels=names),
        make_stratum(values[:40] + 3, people[:40], 50, 0, "two", kernels=others[:40]),
    ]
    found = kernel_strata(parts)
    assert len(found) == strata
    means = np.mean([per_image_mean(part) for part in found], axis=0)
    np.testing.assert_allclose(means, (values.mean(axis=0) + values[:40].mean(axis=0) + 3) / 2)


def test_kernels_are_drawn_where_all_strata_have_them():
    values, people = some_scores(12, 2, 3)
    names = [f"13/{number % 7}" for number in range(len(values))]
    with_kernels = make_stratum(values, people, 10, 0, kernels=names)
    assert kernel_strata([with_kernels, make_stratum(values, people, 10, 0)]) == []
    assert len(kernel_strata([with_kernels])[0].counts) == 7
