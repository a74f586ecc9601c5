from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from helpers.places import ROOT
from safetensors.torch import load_file

import dfpg
from dfpg import api
from dfpg.core.errors import UserError
from dfpg.core.files import read_image

FACE = ROOT / "data" / "faces" / "p00000_0.jpg"
SIDE = 32


@pytest.fixture(scope="module")
def restorer():
    return dfpg.load_restorer("shipped", device="cpu")


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)


def test_examples_run_as_they_are_written():
    assert set(dfpg.__all__) - {"__version__"} <= {name for name in dir(api) if name[0] != "_"}
    result = doctest.testmod(api)
    assert result.attempted > 20
    assert result.failed == 0


def test_the_page_runs_as_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(FACE.read_bytes())
    result = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert result.attempted > 5
    assert result.failed == 0


def test_importing_is_fast_and_brings_no_torch():
    code = (
        "import time; start = time.process_time(); import dfpg, sys\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)\n"
        "print(time.process_time() - start)"
    )
    times = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        times.append(float(done.stdout))
    assert min(times) < 0.3


def test_an_unknown_name_is_an_attribute_error():
    assert dfpg.__version__ == metadata.version("dfpg-bench")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dfpg.nothing


def test_a_blurred_face_comes_nearer_to_the_sharp_one(restorer):
    sharp = read_image(FACE)
    blurred = dfpg.blur(sharp, dfpg.sample_kernels("spline", 13, 1, seed=3)[0])
    psnr = dfpg.metric("psnr")
    before = psnr(blurred, sharp)
    assert psnr(restorer.restore(blurred), sharp) > before
    kept = blurred.copy()
    assert psnr(restorer.deblur(blurred), sharp) > before
    assert (blurred == kept).all()


def test_a_run_of_the_project_is_loaded_by_name_or_path(tmp_path, monkeypatch, restorer, noise):
    from dfpg.commands.deblur.shipped import WEIGHTS

    monkeypatch.chdir(tmp_path)
    own = tmp_path / "artifacts" / "weights" / "mine.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(WEIGHTS.read_bytes())
    assert load_file(own)
    for source in ("mine", own, str(own)):
        again = dfpg.load_restorer(source, device="cpu")
        assert (again.restore(noise[0]) == restorer.restore(noise[0])).all()
    with pytest.raises(UserError, match='yours: neither "shipped" nor a file'):
        dfpg.load_restorer("yours")
    with pytest.raises(UserError, match=r"no/yours\.safetensors: no such file"):
        dfpg.load_restorer("no/yours.safetensors")


@pytest.fixture(scope="module")
def scores(noise, tmp_path_factory):
    """Of the first of two images of noise against the second, by every metric."""
    from PIL import Image

    top = tmp_path_factory.mktemp("scores")
    for folder, image in zip(("restored", "sharp"), noise, strict=True):
        (top / folder).mkdir()
        Image.fromarray(image).save(top / folder / "a.png")
    return dfpg.score_folders(top / "restored", top / "sharp")


@pytest.mark.parametrize("name", ["psnr", "ssim_matlab_rgb", "ssim_skimage", "lpips_alex"])
def test_a_metric_is_that_of_the_command(noise, scores, name):
    assert list(scores.columns[:2]) == ["restored", "sharp"]
    metric = dfpg.metric(name)
    assert metric.name == name
    assert metric(noise[0], noise[1]) == pytest.approx(scores[name].item(), abs=1e-6)


def test_blurring_is_a_convolution_with_reflected_borders(noise):
    kernel = np.zeros((3, 3))
    kernel[0, 1] = 1  # of a convolution: what lies below moves up
    expected = np.vstack([noise[0][1:], noise[0][-2:-1]])
    assert (dfpg.blur(noise[0], kernel) == expected).all()


@pytest.mark.parametrize("family", ["spline", "trajectory"])
def test_kernels_are_a_function_of_family_size_and_seed(family):
    kernels = dfpg.sample_kernels(family, 17, 4, seed=5)
    assert kernels.shape == (4, 17, 17)
    assert kernels.dtype == np.float32
    assert (kernels >= 0).all()
    np.testing.assert_allclose(kernels.sum((1, 2)), 1, rtol=1e-5)
    assert (kernels == dfpg.sample_kernels(family, 17, 4, seed=5)).all()
    assert (kernels != dfpg.sample_kernels(family, 17, 4, seed=6)).any()


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (lambda: dfpg.metric("ssim"), "metric 'ssim': unknown: use one of psnr, ssim_matlab_rgb"),
        (lambda: dfpg.metric("psnr")(np.zeros((2, 2)), np.zeros((2, 2))), "restored: float64"),
        (lambda: dfpg.sample_kernels("box", 13, 1), "family 'box': unknown"),
        (lambda: dfpg.sample_kernels("spline", 14, 1), "size 14: use one of 13"),
        (lambda: dfpg.sample_kernels("spline", 13, 0), "n 0: draw at least one"),
        (lambda: dfpg.blur(np.zeros((5, 5, 3), np.uint8), np.ones((2, 2))), "K odd"),
        (lambda: dfpg.blur(np.zeros((5, 5, 3), np.uint8), np.ones((11, 11))), "11 px is too large"),
    ],
)
def test_bad_arguments_are_one_line(action, line):
    with pytest.raises(UserError, match=line) as caught:
        action()
    assert "\n" not in str(caught.value)
