from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dfpg.analysis.result_records import HistogramRecord, RocRecord
from dfpg.core.errors import UserError
from dfpg.report.recognition_plots import draw_histogram, draw_recognition, draw_roc
from dfpg.report.style import Style

CURVES = [
    RocRecord(row=row, alignment=alignment, far=far, tar=tar)
    for row in ("sharp", "blurred")
    for alignment in ("detected", "sharp")
    for far, tar in ((0.0, 0.0), (0.0, 0.8), (1.0, 1.0))
]
COUNTS = [
    HistogramRecord(row=row, kind=kind, distance=0.05 + 0.1 * place, count=place)
    for row in ("sharp", "blurred", "mine", "other")
    for kind in ("positive", "negative")
    for place in range(40)
]


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


STYLES = {"sharp": Style("#0072B2", "*", "solid"), "blurred": Style("#D55E00", "x", "dotted")}


def draw_curves(records, path):
    draw_roc(records, STYLES, path)


@pytest.mark.parametrize(("draw", "records"), [(draw_curves, CURVES), (draw_histogram, COUNTS)])
def test_a_plot_shows_its_records_and_is_the_same_every_time(tmp_path, draw, records):
    for name, chosen in (("one", records), ("two", records), ("none", [])):
        draw(chosen, tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    drawn, empty = (pixels(tmp_path / f"{name}.png") for name in ("one", "none"))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > len(
        np.unique(empty.reshape(-1, 3), axis=0)
    )


def test_both_plots_are_drawn_from_the_results(made, config, tmp_path):
    draw_recognition(config, made / "results", tmp_path)
    for name in ("roc.png", "verification_histogram.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_missing_results_are_named(config, tmp_path):
    with pytest.raises(UserError, match=r"table3\.csv: cannot be read; run `dvc repro` first"):
        draw_recognition(config, tmp_path, tmp_path)
