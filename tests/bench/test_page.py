from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from helpers.places import ROOT

from bench import page
from bench.page import END, IMAGES, PAGE, START, face_batches, figures, fill_page, main, metric_cost
from bench.throughput import COLUMNS
from dfpg.core.errors import UserError

RESULTS = ROOT / "results"


def row(**values: str) -> dict[str, str]:
    facts = dict.fromkeys(COLUMNS, "") | {
        "device": "cpu",
        "device_name": "Some CPU",
        "best_s": "1",
        "median_s": "2",
        "worst_s": "4",
        "batch": "1",
        "load": "0.5",
        "threads": "2",
        "commit": "0123456789abcdef",
    }
    return facts | values


ROWS = pd.DataFrame(
    [
        row(benchmark="restore", subject="dfpgnet", image_size="128", variant="fp32", batch="16"),
        row(
            benchmark="restore_beside_metrics", subject="dfpgnet", variant="fp32", ms_per_image="8"
        ),
        row(benchmark="metric", subject="psnr", variant="features", ms_per_image="0"),
        row(benchmark="metric", subject="psnr", variant="score", ms_per_image="1.5"),
        row(benchmark="metric", subject="lpips_vgg", variant="features", ms_per_image="8"),
        row(benchmark="metric", subject="lpips_vgg", variant="score", ms_per_image="2.2"),
        row(benchmark="metric", subject="d_vgg_canonical", variant="features", ms_per_image="0"),
        row(benchmark="metric", subject="d_vgg_canonical", variant="score", ms_per_image="99"),
        row(benchmark="cli_start", subject="dfpg --help", batch="", load="2.5"),
    ]
)


def test_features_are_counted_once_per_face_and_batch():
    # 80 images of a face in batches of 32: two faces (160 images) take five batches, six pairs.
    assert face_batches() == IMAGES // 160 * 6
    assert metric_cost(score=1.0, features=10.0) == pytest.approx(1 + 10 * 600 / 16_000)


def test_sum_of_the_metrics_leaves_canonical_d_vgg_out():
    text = figures(ROWS, "x.csv")
    assert "| all metrics but `d_vgg_canonical` | 4.00 |" in text  # 1.5 + 2.2 + 8 x 0.0375
    assert "0.50 times as long as restoring in fp32" in text
    minutes = 0.099 * IMAGES / 60
    assert f"| `d_vgg_canonical` | 99.00 | {minutes:.1f} |" in text


def test_times_are_per_image_and_absent_variants_are_dashes():
    line = next(
        line for line in figures(ROWS, "x.csv").splitlines() if line.startswith("| dfpgnet")
    )
    assert line.split(" | ")[4:8] == ["125 (62.5 to 250)", "-", "-", "-"]


def test_provenance_stands_above_the_figures():
    first = figures(ROWS, "x.csv").splitlines()[2]
    for fact in ("results/x.csv", "Some CPU", "0123456789ab", "0.5 to 2.5"):
        assert fact in first


def test_a_shared_machine_is_named():
    assert "was shared" not in figures(ROWS, "x.csv")
    assert "was shared" in figures(ROWS.assign(load="3.1"), "x.csv")


def test_page_is_filled_between_its_marks_alone():
    before = f"a\n{START}\nold\n{END}\nz\n"
    assert fill_page(before, "new") == f"a\n{START}\nnew\n{END}\nz\n"
    with pytest.raises(UserError, match="marks"):
        fill_page("a", "new")


def test_command_refuses_what_is_no_csv(tmp_path, monkeypatch, capsys):
    target = tmp_path / "benchmarks.md"
    target.write_text(f"{START}\n{END}\n")
    monkeypatch.setattr(page, "PAGE", target)
    assert main([str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert target.read_text() == f"{START}\n{END}\n"


def test_committed_page_shows_every_committed_csv():
    content = PAGE.read_text().split(START)[1].split(END)[0].strip()
    names = re.findall(r"^`results/(throughput-[\w-]+\.csv)`", content, re.MULTILINE)
    tables = {name: page.read(RESULTS / name) for name in names}
    assert sorted(names) == sorted(path.name for path in RESULTS.glob("throughput-*.csv"))
    assert content == "\n\n".join(figures(rows, name) for name, rows in tables.items())
    for rows in tables.values():
        assert all(math.isfinite(float(value)) for value in rows["median_s"])
