"""Values and gradient shares of loss terms, from histories as trainings write them."""

from __future__ import annotations

import re

import pytest

from dfpg.core.errors import UserError
from dfpg.report.loss_charts import loss_charts

HISTORY = """step,lr,loss_discriminator,d_real,loss_generator,gradient_generator,pixel,late,\
share.pixel.encoder,share.late.encoder,share.pixel.prior,share.late.prior,validation_gain
1,0.1,0.7,0.7,1,1,9,,,,,,
2,0.1,0.7,0.5,1,1,0.2,,0.75,0.25,1,0,0.5
4,0.1,0.7,0.25,1,1,0.05,-3,0.99995,0.00005,1,0,0.6
"""


def described(chart: str) -> str:
    """What a chart says to readers who do not see it."""
    return re.search(r"<title[^>]*>(.*?)</title>", chart)[1]


@pytest.fixture
def found(config, tmp_path):
    (tmp_path / "b4.csv").write_text(HISTORY)
    assert loss_charts(config, tmp_path, "a") == {}
    return loss_charts(config, tmp_path, "b")


def test_terms_are_multiples_of_their_first_value_at_a_validation(found):
    (chart,) = found["terms"]
    words = described(chart)
    assert words.startswith("Loss terms of b4 against training images, ")
    assert words.endswith("multiple of its first one. At the end: d_real 0.5, pixel 0.25, late 1.")
    assert 'id="training-terms-b-b4-' in chart


def test_every_term_has_its_share_on_every_part(found):
    (chart,) = found["shares"]
    assert described(chart).endswith(
        "At the end: pixel on encoder 1, late on encoder 5e-05, pixel on prior 1, late on prior 0."
    )
    for name in ("pixel on encoder", "late on encoder", "pixel on prior", "late on prior"):
        assert f">{name}</text>" in chart
    assert ">share of the gradient</text>" in chart


def test_a_generator_of_one_part_names_its_terms_alone(config, tmp_path):
    columns = "step,lr,loss_generator,pixel,perceptual,share.pixel.encoder,share.perceptual.encoder"
    (tmp_path / "b2.csv").write_text(f"{columns},validation_gain\n4,0.1,1,1,2,0.9,0.1,0.5\n")
    (chart,) = loss_charts(config, tmp_path, "b")["shares"]
    assert described(chart).endswith("At the end: pixel 0.9, perceptual 0.1.")


def test_published_weights_have_no_losses(config, tmp_path):
    taken = config.runs["b2"].model_copy(update={"weights": "weights/net.pth"})
    published = config.model_copy(update={"runs": {"b2": taken}})
    (tmp_path / "b2.csv").write_text("step,lr,validation_gain\n0,0,0.5\n")
    assert loss_charts(published, tmp_path, "b") == {}


@pytest.mark.parametrize("text", ["step,lr,validation_gain\n4,0,high\n", "step,lr\n4,0.1\n"])
def test_a_damaged_history_is_named(config, tmp_path, text):
    (tmp_path / "b2.csv").write_text(text)
    with pytest.raises(UserError, match=r"b2\.csv: no history of a training; run train again"):
        loss_charts(config, tmp_path, "b")
