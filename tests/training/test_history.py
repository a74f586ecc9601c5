from __future__ import annotations

from dfpg.training.history import History


def test_history_csv_has_means_fixed_digits_and_gaps():
    history = History()
    history.add({"loss": 1.0})
    history.add({"loss": 2.0})
    history.close_row(2, 1e-4, validation_gain=22.123456789)
    history.add({"loss": 3.0, "late": 5.0})
    history.close_row(3, 9.9e-5)
    assert history.csv() == (
        "step,lr,loss,validation_gain,late\n2,0.0001,1.5,22.1235,\n3,9.9e-05,3,,5\n"
    )
