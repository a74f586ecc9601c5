from __future__ import annotations

import csv
import statistics
from collections import Counter
from importlib import resources

import pytest
from helpers.places import SHARED

from dfpg.paper.published import ERRATA, PublishedKey, published_values

SUBSETS = ("celeba", "celeba_hq", "ffhq")


def value(*key: str) -> float:
    return published_values()[PublishedKey(*key)].value


def test_counts_of_printed_figures():
    assert Counter(key.table for key in published_values()) == {
        "table1": 8 * 8 + 4,  # Shen 2020 reports PSNR and SSIM only
        "table2": 9 * 24,
        "table3": 8 * 2,
        "table4": 6 * 2,
    }


def test_figures_quoted_in_the_papers_text():
    assert value("table3", "sharp", "shen", "celeba", "detection_pct") == 96.0
    assert value("table3", "blurred", "shen", "celeba", "detection_pct") == 77.4
    b4, b6 = (value("table4", row, "mspl_center", "mean", "psnr") for row in ("b4", "b6"))
    assert b6 - b4 == pytest.approx(0.60)  # the text says 0.36
    assert PublishedKey("table1", "shen2020", "shen", "helen", "d_vgg") not in published_values()


def test_text_keeps_the_printed_decimals():
    assert (
        published_values()[PublishedKey("table1", "dfpg_a", "shen", "helen", "psnr")].text
        == "27.70"
    )


def test_dfpg_a_is_first_in_ssim_and_d_vgg_and_second_in_psnr_and_lpips():
    """The claim of the paper's section 4.3 about Table 1."""
    for subset in ("helen", "celeba"):
        for metric, rank in (("psnr", 2), ("ssim", 1), ("d_vgg", 1), ("lpips", 2)):
            column = {
                key.row: published.value
                for key, published in published_values().items()
                if (key.table, key.subset, key.metric) == ("table1", subset, metric)
            }
            best_first = sorted(column, key=column.__getitem__, reverse=metric in ("psnr", "ssim"))
            assert best_first.index("dfpg_a") == rank - 1


def test_b6_is_not_the_mean_of_table_2():
    psnr, ssim = (
        statistics.fmean(value("table2", "dfpg_b", "mspl_center", s, metric) for s in SUBSETS)
        for metric in ("psnr", "ssim")
    )
    assert round(psnr, 3) == 29.227
    assert value("table4", "b6", "mspl_center", "mean", "psnr") - psnr == pytest.approx(
        0.043, abs=5e-4
    )
    assert round(ssim, 3) == value("table4", "b6", "mspl_center", "mean", "ssim")


def test_lu_d_vgg_repeats_yasarla_in_mspl_random():
    pairs = [
        [value("table2", row, "mspl_random", s, "d_vgg") for row in ("lu2019", "yasarla2020")]
        for s in SUBSETS
    ]
    assert pairs == [[46.05, 45.05], [72.56, 72.56], [65.06, 65.06]]


def test_every_erratum_names_a_printed_figure():
    assert set(ERRATA) <= set(published_values())
    assert PublishedKey("table2", "dfpg_b", "mspl_center", "celeba_hq", "d_vgg") in ERRATA


@pytest.mark.skipif(not (SHARED / "specs").is_dir(), reason="needs ../shared/specs/published")
@pytest.mark.parametrize("table", ["table1", "table2", "table3", "table4"])
def test_figures_are_those_of_the_transcription(table):
    ours = resources.files("dfpg.paper").joinpath(f"{table}.csv").read_text()
    theirs = (SHARED / "specs" / "published" / f"{table}.csv").read_text()
    theirs = theirs.replace("protocol", "test_set", 1)  # the heading
    assert list(csv.reader(ours.splitlines())) == list(csv.reader(theirs.splitlines()))
