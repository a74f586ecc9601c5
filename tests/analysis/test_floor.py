from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from helpers.toy_scores import scores_of

from dfpg.analysis.estimates import Estimate, estimate_column
from dfpg.analysis.floor import ABOVE, NOT_ABOVE, Floor, floor_of
from dfpg.core.config import Config
from dfpg.paper.tables import BASELINES, CLASSICAL, FLOOR, TABLES, Column

HELEN = Column("shen", "helen")


def test_a_row_is_above_where_its_interval_is(config: Config):
    """Of rows that are better, alike and worse than the filter, the first alone is above."""
    lifts = {"blurred": 0.0, "sharp": 9.0, FLOOR: 1.0, "shen2018": 1.5, "lu2019": 1.0, "b1": 0.5}
    scores = pd.concat([scores_of(config, name, ("a",), lift) for name, lift in lifts.items()])
    floor = floor_of([{HELEN: estimate_column(config, scores, TABLES[0], HELEN)}])
    for metric in ("psnr", "ssim_matlab_rgb", "lpips_alex", "d_vgg_authors"):
        found = {name: floor.standing(HELEN, name, metric) for name in lifts}
        assert found["shen2018"] == ABOVE
        assert found["lu2019"] == found["b1"] == NOT_ABOVE
        assert found["sharp"] == found["blurred"] == found[FLOOR] == ""


def test_a_filter_that_does_harm_is_no_easier_floor(config: Config):
    """In LPIPS the filter is worse than the blurred images: those have to be beaten then."""
    lifts = {"blurred": 0.0, FLOOR: -2.0, "shen2018": 0.0, "lu2019": 0.5}
    scores = pd.concat([scores_of(config, name, ("a",), lift) for name, lift in lifts.items()])
    floor = floor_of([{HELEN: estimate_column(config, scores, TABLES[0], HELEN)}])
    assert floor.standing(HELEN, "shen2018", "lpips_alex") == NOT_ABOVE
    assert floor.standing(HELEN, "lu2019", "lpips_alex") == ABOVE


def test_rates_are_read_on_the_psnr_of_the_same_images():
    floor = Floor({(HELEN, "b1", "psnr"): Estimate(0.1, -0.1, 0.3)})
    assert floor.standing(HELEN, "b1", "dlib_hog") == NOT_ABOVE
    assert floor.standing(HELEN, "b2", "dlib_hog") == ""


def test_without_an_interval_nothing_is_said():
    floor = Floor({(HELEN, "b1", "psnr"): Estimate(0.1, float("nan"), float("nan"))})
    assert floor.standing(HELEN, "b1", "psnr") == ""


@pytest.mark.parametrize("table", [table.name for table in TABLES])
def test_every_value_of_a_trained_row_says_how_it_stands(results: Path, table: str):
    rows = pd.read_csv(results / f"{table}.csv", keep_default_na=False)
    trained = ~rows["run"].isin(["", *BASELINES, *CLASSICAL])
    assert (rows.loc[trained & (rows["value"] != ""), "floor"] == ABOVE).all()
    assert (rows.loc[~trained, "floor"] == "").all()
    assert {*CLASSICAL} <= set(rows["row"])
