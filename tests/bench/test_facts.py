from __future__ import annotations

import pytest
import torch

from bench import facts
from bench.facts import device_slug, figures, provenance
from bench.measure import Timing
from bench.throughput import COLUMNS

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "name", "slug"),
    [
        ("cpu", "Intel(R) Xeon(R) Processor", "cpu-intel-xeon-processor"),
        (
            "cpu",
            "Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz",
            "cpu-intel-core-i7-9750h-cpu",
        ),
        ("cuda", "NVIDIA H100 80GB HBM3", "cuda-nvidia-h100-80gb-hbm3"),
        ("mps", "arm", "mps-arm"),
        ("cpu", "../x y", "cpu-x-y"),
    ],
)
def test_slug_is_a_plain_file_name(device, name, slug):
    assert device_slug(device, name) == slug


def test_figures_of_a_timing(monkeypatch):
    monkeypatch.setattr(facts, "matmul_peak", lambda *_: 8e12)
    timing = Timing(None, [4.0, 1.0, 2.0], peak_bytes=3_000_000, load=0.5)
    found = figures(timing, images=16, macs=int(2e12), device=CPU, arithmetic="fp32")
    assert (found["best_s"], found["median_s"], found["worst_s"]) == (1.0, 2.0, 4.0)
    assert found["rounds"] == 3
    assert found["images_per_s"] == 8
    assert found["ms_per_image"] == 125
    assert found["gmacs_per_image"] == 125
    assert found["gflops"] == 2000  # 2 operations per multiply-accumulate, in the median 2 s
    assert found["fraction_of_peak"] == 0.25
    assert found["fraction_of_peak_best"] == 0.5
    assert found["peak_memory_mb"] == 3


def test_figures_that_make_no_sense_are_none():
    found = figures(Timing(None, [1.0]), images=None, macs=None, device=CPU, arithmetic=None)
    empty = {name for name, value in found.items() if value is None}
    assert empty == {
        "images_per_s",
        "ms_per_image",
        "gmacs_per_image",
        "gflops",
        "peak_gflops",
        "fraction_of_peak",
        "fraction_of_peak_best",
        "peak_memory_mb",
        "load",
    }


def test_every_column_but_the_keys_comes_from_figures_or_provenance():
    found = figures(Timing(None, [1.0]), images=None, macs=None, device=CPU, arithmetic=None)
    given = {"benchmark", "subject", "variant", "image_size", "batch", "arithmetic"}
    assert given | found.keys() | provenance().keys() == COLUMNS.keys()
