from __future__ import annotations

import numpy as np
import pytest

from dfpg.analysis.metric_ranges import clip_differences, clip_values, metric_range
from dfpg.analysis.people_bootstrap import Interval, mean_interval
from dfpg.analysis.strata import make_stratum
from dfpg.paper.tables import TABLES


@pytest.mark.parametrize(
    "convention", sorted({name for table in TABLES for name in table.conventions.values()})
)
def test_every_convention_of_the_tables_has_its_range(convention):
    percent = convention in ("dlib_hog", "scrfd", "authors_detected", "strict_detected")
    low, high = metric_range(convention)
    assert (low, high) == (0, 100) if percent else low in (-1, 0)
    assert high == {"s": 1.0 if convention.startswith("ssim") else 100.0}.get(convention[0], high)


def test_no_interval_leaves_the_metric_and_no_difference_its_width():
    wide = Interval(*(np.array([value] * 3) for value in (0.5, -600.0, 600.0)))
    names = ["ssim_matlab_rgb", "lpips_vgg", "dlib_hog"]
    values, differences = clip_values(wide, names), clip_differences(wide, names)
    np.testing.assert_array_equal(values.low, [-1, 0, 0])
    np.testing.assert_array_equal(values.high, [1, 600, 100])
    np.testing.assert_array_equal(differences.low, [-2, -600, -100])
    np.testing.assert_array_equal(differences.high, [2, 600, 100])
    np.testing.assert_array_equal(values.mean, wide.mean)


def test_scores_near_the_end_of_the_range_are_cut_off_and_the_rest_is_left_alone():
    values = np.full((12, 2), [0.999, 0.5])
    values[0] = [0.4, 0.51]
    found = mean_interval([make_stratum(values, [str(n) for n in range(12)], 500, 0)])
    assert found.high[0] > 1
    clipped = clip_values(found, ["ssim_wang_rgb"] * 2)
    assert clipped.high[0] == 1
    assert (clipped.low[1], clipped.high[1]) == (found.low[1], found.high[1])


def test_what_is_no_number_stays_none():
    empty = Interval(*(np.array([value]) for value in (np.inf, np.nan, np.nan)))
    assert np.isnan(clip_values(empty, ["psnr"]).low).all()
