from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.drawings import blur_box, draw_faces
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.metrics import bands
from dfpg.metrics.bands import score_in_bands
from dfpg.metrics.d_vgg import d_vgg_canonical
from dfpg.metrics.ssim import SSIM_MATLAB_RGB, SSIM_WANG_RGB


@pytest.fixture
def large():
    """Two sharp images of 83 x 70 px and their blurred ones: both sides leave a rest at a pool."""
    sharp = draw_faces(2, 83)[..., :70]
    return blur_box(sharp), sharp


@pytest.mark.parametrize(  # least bands, several, one
    "values", [1, 2**13, pytest.param(2**30, marks=pytest.mark.slow)]
)
def test_every_metric_is_that_of_the_whole_image(metrics, large, monkeypatch, values):
    monkeypatch.setattr(bands, "BAND_VALUES", values)
    monkeypatch.setattr(bands, "TILE", 32)
    for metric in metrics.values():
        whole = metric.score(large[0], metric.features(large[1]))
        torch.testing.assert_close(score_in_bands(metric, *large), whole, rtol=1e-5, atol=1e-7)


def test_vggs_own_input_is_small_however_large_the_image(prior, large):
    metric = d_vgg_canonical(prior)
    whole = metric.score(large[0], metric.features(large[1]))
    torch.testing.assert_close(score_in_bands(metric, *large), whole)


def test_an_image_scores_zero_or_one_against_itself(metrics, large):
    for name, metric in metrics.items():
        perfect = {"psnr": torch.inf}.get(name, float(metric.higher_is_better))
        found = score_in_bands(metric, large[1], large[1])
        torch.testing.assert_close(found, torch.full((2,), perfect, dtype=torch.float64))


def test_other_shapes_and_too_small_images_are_refused(metrics, large):
    with pytest.raises(UserError, match="must have the same shape"):
        score_in_bands(SSIM_WANG_RGB, large[0][..., 1:], large[1])
    with pytest.raises(UserError, match="70x10 px are too small"):
        score_in_bands(SSIM_MATLAB_RGB, large[0][:, :, :10], large[1][:, :, :10])
    for name in ("lpips_vgg", "lpips_alex", "d_vgg_authors"):
        with pytest.raises(UserError, match="70x31 px are too small"):
            score_in_bands(metrics[name], large[0][:, :, :31], large[1][:, :, :31])


MEASURE = """
import torch
from bench.measure import peak_memory, reset_peak_memory
from dfpg.metrics import bands
from dfpg.metrics.lpips import load_network, lpips_vgg

bands.BAND_VALUES = 2**18
metric, cpu = lpips_vgg(load_network("vgg")), torch.device("cpu")
peaks = []
for height in (64, 64, 640):  # the first call sets the libraries up
    images = torch.zeros(1, 3, height, 256, dtype=torch.uint8)
    reset_peak_memory(cpu)
    bands.score_in_bands(metric, images, images)
    peaks.append(peak_memory(cpu))
print((peaks[2] - peaks[1]) / (576 * 256))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's peak memory")
def test_memory_grows_by_what_is_pooled_alone():
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    # Bytes a pixel. Two images' pooled first level are 128, the second's 64, the inputs 24 more;
    # whole maps take about 1700.
    assert float(done.stdout) < 400
