from __future__ import annotations

import math

import pytest

from dfpg.analysis.comparability import comparison_verdict, differences_from_paper
from dfpg.analysis.estimates import Estimate
from dfpg.paper.tables import Column


@pytest.mark.parametrize(
    ("mean", "low", "high", "metric", "published", "verdict"),
    [
        (29.30, 28.0, 30.0, "psnr", 29.27, "matches"),
        (29.10, 28.0, 30.0, "psnr", 29.27, "within interval"),
        (28.10, 27.9, 28.3, "psnr", 29.27, "deviates"),
        (101.0, 90.0, 110.0, "d_vgg", 100.0, "matches"),
        (103.0, 90.0, 110.0, "d_vgg", 100.0, "within interval"),
        (29.10, math.nan, math.nan, "psnr", 29.27, "deviates"),
    ],
)
def test_verdict(mean, low, high, metric, published, verdict):
    assert comparison_verdict(Estimate(mean, low, high), published, metric, [])[0] == verdict
    judged, reason = comparison_verdict(
        Estimate(mean, low, high), published, metric, ["32 px", "other images"]
    )
    assert (judged, reason) == ("not comparable", "32 px, other images")


def test_the_slots_own_pictures_at_128_px_are_comparable(config):
    subsets = config.protocols["a"].test.subsets
    real = {name: subset.model_copy(update={"source": name}) for name, subset in subsets.items()}
    test = config.protocols["a"].test.model_copy(update={"subsets": real})
    protocol = config.protocols["a"].model_copy(update={"test": test})
    photographs = config.model_copy(
        update={"image_size": 128, "protocols": {**config.protocols, "a": protocol}}
    )
    column = Column("shen", "helen")
    assert differences_from_paper(photographs, column, "psnr") == []
    assert len(differences_from_paper(photographs, column, "d_vgg")) == 1
    own = photographs.prior.model_copy(update={"vggface": "vgg_face.pth"})
    assert (
        differences_from_paper(photographs.model_copy(update={"prior": own}), column, "d_vgg") == []
    )
