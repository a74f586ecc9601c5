from __future__ import annotations

import pandas as pd
import pytest
from helpers.places import ROOT

from dfpg.commands.cluster.cost import (
    BATCH,
    OF_STEP,
    STEP,
    cost_page,
    gpu_hours,
    makespan,
    per_image,
)
from dfpg.commands.doctor.forecast import read_recorded_times
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile

H200 = ROOT / "results" / "throughput-cuda-nvidia-h200.csv"


@pytest.mark.parametrize(
    ("hours", "gpus", "expected"),
    [
        ([3.0, 1.0, 2.0], 1, 6.0),
        ([3.0, 1.0, 2.0], 2, 3.0),
        ([2.0, 2.0, 3.0], 2, 4.0),
        ([3.0, 1.0], 64, 3.0),
    ],
)
def test_the_longest_runs_begin_first(hours, gpus, expected):
    assert makespan(hours, gpus) == expected


def test_hours_are_images_times_a_step_of_the_method_and_a_batch():
    config = resolve_profile("research")[0]
    hours = gpu_hours(config, step=0.007, batch=0.001)
    assert hours[OF_STEP] == pytest.approx(320_000 * 0.008 / 3600)
    record = read_recorded_times()
    ratio = record["full", "restormer"].seconds / record["full", OF_STEP].seconds
    assert hours["restormer"] == pytest.approx(320_000 * (0.007 * ratio + 0.001) / 3600)
    assert list(hours) == list(config.runs)


def test_what_is_on_record_of_the_h200_is_the_fastest_variant():
    assert per_image(H200, STEP, 128) == (pytest.approx(0.007351), "NVIDIA H200")
    assert per_image(H200, BATCH, 128)[0] == pytest.approx(0.0008896)


def test_a_variant_with_which_no_profile_trains_does_not_count(tmp_path):
    table, path = pd.read_csv(H200), tmp_path / "throughput.csv"
    for what, variant in ((STEP, "compiled"), (BATCH, "noise on the device")):
        rows = (table["benchmark"] == what[0]) & (table["subject"] == what[1])
        fast = table[rows & (table["image_size"] == 128)].head(1)
        fast = fast.assign(variant=variant, ms_per_image=0.001)
        table = pd.concat([table, fast])
    table.to_csv(path, index=False)
    for what in (STEP, BATCH):
        assert per_image(path, what, 128) == per_image(H200, what, 128)


def test_the_page_of_the_paper_has_every_run_and_the_longest_bounds_it():
    config = resolve_profile("paper")[0]
    page = cost_page(config, H200)
    assert page.startswith(f"paper: {len(config.runs)} trainings, ")
    assert all(f"| {run} " in page for run in config.runs)
    longest = max(gpu_hours(config, 0.007351, 0.0008896).values())
    assert f"| 64 | {longest:.1f} |" in page


def test_bad_input_is_one_line(tmp_path):
    with pytest.raises(UserError, match="only for research and paper"):
        cost_page(resolve_profile("embedded")[0], H200)
    cpu = ROOT / "results" / "throughput-cpu-intel-xeon-processor.csv"
    with pytest.raises(UserError, match=r"no training_step dfpgnet_full at 128 px on a GPU"):
        cost_page(resolve_profile("paper")[0], cpu)
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no table of `make bench`"):
        cost_page(resolve_profile("paper")[0], other)
