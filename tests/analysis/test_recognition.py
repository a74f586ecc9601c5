from __future__ import annotations

from helpers.csv_files import read_rows


def test_table_3_shows_both_detectors_and_both_modes(results):
    rows = [row for row in read_rows(results / "table3.csv") if row["row"] == "blurred"]
    assert [(row["metric"], row["convention"]) for row in rows] == [
        ("detection_pct", "dlib_hog"),
        ("detection_scrfd_pct", "scrfd"),
        ("verification_acc_pct", "authors_detected"),
        ("verification_strict_acc_pct", "strict_detected"),
    ]
    values = {row["metric"]: float(row["value"]) for row in rows}
    assert values["detection_pct"] == values["detection_scrfd_pct"] == 70
    # Dropping the 30 % that are not found flatters.
    assert values["verification_acc_pct"] > values["verification_strict_acc_pct"] + 10
    for row in rows:
        assert 0 <= float(row["ci_low"]) < float(row["value"]) < float(row["ci_high"]) <= 100
    assert "another MobileFaceNet" in rows[2]["reason"]
    assert "MobileFaceNet" not in rows[0]["reason"]
