from __future__ import annotations

from dfpg.training.imbalance import new_imbalances


def test_an_imbalance_is_said_once():
    found = {"share.a.encoder": 0.0005, "share.b.encoder": 0.95, "share.c.encoder": 0.0495}
    assert new_imbalances(found, []) == [
        "loss a has 0.05 % of the gradient on the encoder: it does next to nothing",
        "loss b has 95 % of the gradient on the encoder: the others do next to nothing",
    ]
    assert new_imbalances(found, [{"step": 1.0, "a.b.c": 0.95} | found]) == []
    assert len(new_imbalances(found, [{"step": 1.0, "share.a.encoder": 0.2}])) == 2
    assert len(new_imbalances(found, [{"share.a.encoder": 0.95}])) == 2


def test_a_part_that_one_term_alone_reaches_is_no_imbalance():
    assert new_imbalances({"share.a.prior": 1.0, "share.b.prior": 0.0}, []) == []
