from __future__ import annotations

import math

import numpy as np
import pytest

from dfpg.analysis.comparability import (
    comparison_verdict,
    differences_from_paper,
    obstacles,
    printed_variance,
)
from dfpg.analysis.estimates import Estimate
from dfpg.analysis.people_bootstrap import mean_interval
from dfpg.analysis.strata import make_stratum
from dfpg.paper.published import PublishedValue
from dfpg.paper.tables import MEAN, TABLES, Column


@pytest.mark.parametrize(
    ("mean", "low", "high", "metric", "published", "verdict"),
    [
        (29.30, 28.0, 30.0, "psnr", "29.27", "matches"),
        (29.10, 28.0, 30.0, "psnr", "29.27", "within interval"),
        (29.00, 28.8, 29.2, "psnr", "29.27", "within interval"),  # 0.27 of 0.2 times sqrt(2)
        (28.97, 28.8, 29.2, "psnr", "29.27", "within interval"),  # the upper half counts: 0.23
        (28.97, 28.0, 29.17, "psnr", "29.27", "deviates"),
        (28.10, 27.9, 28.3, "psnr", "29.27", "deviates"),
        (101.0, 90.0, 110.0, "d_vgg", "100.0", "matches"),
        (103.0, 90.0, 110.0, "d_vgg", "100.0", "within interval"),
        (29.10, math.nan, math.nan, "psnr", "29.27", "not comparable"),
    ],
)
def test_verdict(mean, low, high, metric, published, verdict):
    """The paper's sample is as large as ours: the half-width grows by the root of two."""
    bounds, printed = Estimate(mean, low, high), PublishedValue(published)
    assert comparison_verdict(bounds, printed, metric, [], 1.0)[0] == verdict
    judged, reason = comparison_verdict(bounds, printed, metric, ["32 px", "other images"], 1.0)
    assert (judged, reason) == ("not comparable", "32 px, other images")


def test_a_printed_value_is_as_sure_as_its_faces_and_kernels_make_it(config):
    """The paper has 80 faces under 80 kernels per subset, 240 in the mean."""
    kernels = config.protocols["b"].test.kernels_per_size * 8 / 80
    assert kernels == 1
    assert printed_variance(config, Column("mspl_center", "celeba"), 40) == 1
    assert printed_variance(config, Column("mspl_center", "celeba"), 160) == 2
    assert printed_variance(config, Column("mspl_center", MEAN), 480) == 2
    assert printed_variance(config, Column("shen", "celeba"), 150) == 1.5


@pytest.mark.parametrize("seed_sd", [0.0, 0.25])
def test_a_perfect_reproduction_deviates_in_five_percent_of_cells(seed_sd):
    """Two samples of one population, 40 faces under 40 kernels here and 80 under 80 printed.

    ``seed_sd``: another training of the same network, in standard errors of its value (0.07 dB of
    0.3 dB). PSNR with a standard error of 0.3 dB, printed with two decimals.
    """
    rng, cells, verdicts = np.random.default_rng(0), 300, []
    for number in range(4):
        values = {}
        for place, units in (("here", 40), ("paper", 80)):
            parts = [rng.exponential(size=(units, cells)) - 1 for _ in range(2)]
            person, kernel = np.divmod(np.arange(units**2), units)
            noise = rng.normal(size=(units**2, cells))
            values[place] = 25 + 1.3 * (parts[0][person] + parts[1][kernel] + noise)
            values[place] += 0.3 * seed_sd * rng.normal(size=cells)
        names = [f"{unit:02d}" for unit in range(40)]
        people, kernels = ([names[n] for n in row] for row in np.divmod(np.arange(1600), 40))
        ours = make_stratum(values["here"], people, 500, number, kernels=kernels)
        interval = mean_interval([ours])
        for cell, mean in enumerate(values["paper"].mean(axis=0).tolist()):
            bounds = Estimate(
                *(float(b[cell]) for b in (interval.mean, interval.low, interval.high))
            )
            printed = PublishedValue(f"{mean:.2f}")
            verdicts.append(comparison_verdict(bounds, printed, "psnr", [], 40 / 80)[0])
    assert verdicts.count("deviates") / len(verdicts) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 1200)


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


def test_obstacles_of_real_photographs_are_named(config):
    subsets = config.protocols["a"].test.subsets
    real = {name: subset.model_copy(update={"source": name}) for name, subset in subsets.items()}
    test = config.protocols["a"].test.model_copy(update={"subsets": real})
    protocol = config.protocols["a"].model_copy(update={"test": test})
    photographs = config.model_copy(update={"protocols": {**config.protocols, "a": protocol}})
    rows, column = {row.key: row for row in TABLES[0].rows}, Column("shen", "helen")
    named = obstacles(photographs, rows["dfpg_a"], column, "psnr")
    assert named[:2] == ["other faces of the same set", "other kernels of the same kind"]
    assert named[2].startswith("trained on 16 images, as published on ")
    assert named[3] == "trained with the surrogate instead of VGGFace"
    assert obstacles(photographs, rows["sharp"], column, "psnr") == named[:1]
    assert obstacles(photographs, rows["blurred"], column, "psnr") == named[:2]
    assert len(obstacles(photographs, rows["shen2018"], column, "psnr")) == 3
    runs = {
        **photographs.runs,
        "dfpg_a": photographs.runs["dfpg_a"].model_copy(update={"weights": "g"}),
    }
    published = photographs.model_copy(update={"runs": runs})
    assert obstacles(published, rows["dfpg_a"], column, "psnr") == named[:2]
    assert obstacles(config, rows["dfpg_a"], column, "psnr") == []
