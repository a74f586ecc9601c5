from __future__ import annotations

import math

import pytest

from dfpg.analysis.quantiles import normal, student


@pytest.mark.parametrize("share", [0.025, 0.5, 0.9, 0.975])
def test_closed_forms_of_one_and_two_degrees_of_freedom(share):
    """The distribution of Cauchy, and t = (2p - 1) sqrt(2 / (4p(1 - p)))."""
    assert student(share, 1) == pytest.approx(math.tan(math.pi * (share - 0.5)), abs=1e-12)
    two = (2 * share - 1) * math.sqrt(2 / (4 * share * (1 - share)))
    assert student(share, 2) == pytest.approx(two, abs=1e-12)


def test_students_t_of_many_degrees_of_freedom_is_normal():
    assert normal(0.975) == pytest.approx(1.959963984540054, abs=1e-12)
    assert student(0.975, 10**9) == pytest.approx(normal(0.975), abs=1e-8)
