"""The worked example of docs/which_number.md shows what is committed under results/."""

from __future__ import annotations

from helpers.csv_files import read_rows
from helpers.places import ROOT

from dfpg.core.config import load_config

PAGE = (ROOT / "docs" / "which_number.md").read_text()


def test_the_example_quotes_the_committed_values():
    quoted = PAGE.split("<!-- quote -->")[1].split("<!-- /quote -->")[0]
    words = " ".join(quoted.replace(">", " ").split())
    (main,) = (
        row
        for row in read_rows(ROOT / "results" / "main.csv")
        if (row["test_set"], row["run"]) == ("mspl_center", "dfpg_b")
    )
    images = load_config(ROOT / "params.yaml").runs["dfpg_b"].images
    size = load_config(ROOT / "params.yaml").image_size
    gain, low, high = (float(main[name]) for name in ("gain", "ci_low", "ci_high"))
    assert f"gains {gain:.2f} dB PSNR" in words
    assert f"{low:.2f} to {high:.2f};" in words
    assert f"{main['n_images']} images of {main['n_people']} people" in words
    assert f"{images:,} images of {size} px" in words
    assert f"profile `{main['profile']}`" in words
