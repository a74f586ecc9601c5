from __future__ import annotations

import pytest
from helpers.csv_files import pick_row, read_rows
from helpers.toy_scores import mean_of_images


@pytest.mark.parametrize(("metric", "convention"), [("psnr", "psnr"), ("d_vgg", "d_vgg_authors")])
def test_gain_is_signed_so_that_positive_is_better(artifacts, results, metric, convention):
    method = mean_of_images(artifacts, "dfpg_a", "shen", "center", "helen", convention)
    blurred = mean_of_images(artifacts, "blurred", "shen", "center", "helen", convention)
    where = {"table": "table1", "row": "dfpg_a", "subset": "helen", "metric": metric}
    row = pick_row(results / "gains.csv", **where)
    assert float(row["gain"]) == pytest.approx(abs(method - blurred), abs=1e-5)
    assert row["verdict"] == "better"
    assert (method > blurred) == (metric == "psnr")


def test_gain_interval_is_narrower_than_that_of_the_value(results):
    where = {"row": "b3", "metric": "psnr"}
    gain = pick_row(results / "gains.csv", table="table4", **where)
    value = pick_row(results / "table4.csv", **where)
    widths = [float(row["ci_high"]) - float(row["ci_low"]) for row in (gain, value)]
    assert widths[0] < widths[1] / 3
    assert float(gain["p"]) <= float(gain["p_holm"]) < 0.01


def test_gains_of_table_3_are_paired_and_leave_the_lab_mode_out(results):
    rows = [row for row in read_rows(results / "gains.csv") if row["table"] == "table3"]
    assert {row["metric"] for row in rows} == {
        "detection_pct", "detection_scrfd_pct", "verification_strict_acc_pct",
    }  # fmt: skip
    gain = next(row for row in rows if row["row"] == "dfpg_a" and row["metric"] == "detection_pct")
    assert float(gain["gain"]) == 20
    assert (gain["verdict"] == "better") == (float(gain["ci_low"]) > 0)
