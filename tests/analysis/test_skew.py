from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dfpg.analysis.skew import remove_skew

STUDENT = float(stats.t.ppf(0.975, 59))


@pytest.mark.parametrize("quantile", [0.9 * STUDENT, STUDENT, 2.3, 3.0, 5.0])
def test_the_quantile_goes_to_students_and_order_is_kept(quantile):
    t = np.sort(np.append(np.linspace(0, 30, 301), quantile))
    found = remove_skew(t, np.full_like(t, quantile), STUDENT)
    assert found[t == quantile] == pytest.approx(STUDENT)
    assert (np.diff(found) >= -1e-12).all()
    assert (found <= t * max(STUDENT / quantile, 1) + 1e-12).all()
    beyond = t > quantile
    assert (found[beyond] <= t[beyond] * STUDENT / quantile + 1e-12).all()


def test_without_skew_nothing_changes():
    t = np.linspace(0, 8, 50)
    np.testing.assert_allclose(remove_skew(t, np.full_like(t, STUDENT), STUDENT), t)


def test_it_is_halls_transformation_where_the_skew_is_known():
    """Hall (1992): T = t + a t^2 / 3 + a^2 t^3 / 27 + a / 6, here on the side where a t < 0."""
    a, t = -0.3, np.linspace(2, 5, 2000)
    hall = t + a * t**2 / 3 + a**2 * t**3 / 27 + a / 6
    quantile = np.interp(STUDENT, hall, t)
    found = remove_skew(t, np.full_like(t, quantile), STUDENT)
    np.testing.assert_allclose(
        found, np.minimum(hall, np.where(t > quantile, t * STUDENT / quantile, hall)), rtol=1e-4
    )
