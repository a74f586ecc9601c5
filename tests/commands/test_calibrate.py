"""Standard errors by simulation, the choice of images, and the comparison's text."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.kernels import copy_kernels
from helpers.released import dmphn_files

from dfpg.commands.calibrate import RUN, calibrate, choose, standard_error
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.faces.dataset import load_faces
from dfpg.data.testsets import build_testset, open_testset
from dfpg.methods.registry import build_method


def crossed(rng, people=16, kernels=24, of_person=1.0, of_kernel=1.0, of_image=1.0):
    """Every person with every kernel; the score has a part of each and one of the image."""
    person, kernel = np.divmod(np.arange(people * kernels), kernels)
    score = of_person * rng.standard_normal(people)[person]
    score += of_kernel * rng.standard_normal(kernels)[kernel]
    score += of_image * rng.standard_normal(len(person))
    columns = {"person": person, "kernel": kernel % 3, "size": kernel // 3, "psnr": score}
    return pd.DataFrame(columns)


@pytest.mark.parametrize(("of_person", "of_kernel"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_standard_error_is_the_spread_of_means_with_shared_people_and_kernels(of_person, of_kernel):
    rng = np.random.default_rng(0)
    tables = [crossed(rng, of_person=of_person, of_kernel=of_kernel) for _ in range(400)]
    spread = np.std([table["psnr"].mean() for table in tables])
    stated = np.sqrt(np.mean([standard_error(table, "psnr") ** 2 for table in tables]))
    assert stated == pytest.approx(spread, rel=0.12)


def test_images_of_their_own_person_and_kernel_have_the_plain_standard_error():
    score = np.random.default_rng(0).standard_normal(50)
    table = pd.DataFrame({"person": range(50), "kernel": range(50), "size": 13, "psnr": score})
    assert standard_error(table, "psnr") == pytest.approx(score.std() / np.sqrt(50))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A small test set of protocol B, and weights of DMPHN's released size."""
    out = tmp_path_factory.mktemp("calibrate")
    config = resolve_profile("smoke")[0]
    config.methods["zhang2019"]["width"] = 32
    copy_kernels(config, out / "kernels")
    bank = load_kernels(out / "kernels" / "spline.safetensors")
    build_testset(config, "b", bank, {"embedded": load_faces("embedded", "test")}, out / "b")
    (out / "weights").mkdir()
    method = build_method(config, RUN, prior=None)
    dmphn_files(out / "weights", method.networks["generator"])
    return config, out


def test_as_many_images_of_every_column_and_size_are_chosen(project):
    config, out = project
    index = open_testset(out / "b").index
    copies = [index.assign(image=index["image"] + n * len(index)) for n in range(3)]
    index = pd.concat(copies, ignore_index=True)
    chosen = choose(config, index, 17)
    counts = chosen.groupby(["subset", "mode", "size"]).size()
    assert len(counts) == 3 * 2 * 8
    assert (counts == 2).all()
    assert chosen["image"].is_unique
    assert chosen.equals(choose(config, index, 17))
    with pytest.raises(UserError, match="--images 7: give at least one per size, 8"):
        choose(config, index, 7)


def test_our_row_stands_beside_the_printed_one(project):
    """An untrained DMPHN with the identity start returns its input: the blurred images' PSNR."""
    config, out = project
    text = calibrate(config, out / "weights", 8, out)
    lines = text.splitlines()
    testset = open_testset(out / "b")
    rows = testset.index.query("mode == 'center' and subset == 'celeba_hq'")
    blurred = testset.blurred[rows["image"]].astype(float)
    error = ((blurred - testset.sharp[rows["sharp"]]) ** 2).mean((1, 2, 3))
    expected = (10 * np.log10(255**2 / error)).mean()
    line = next(line.split() for line in lines if line.startswith("center celeba_hq"))
    assert line[2:5] == ["psnr", "8", str(rows["person"].nunique())]
    assert float(line[5]) == pytest.approx(expected, abs=0.1)
    assert line[7] == "20.90"
    assert float(line[8]) == pytest.approx(float(line[5]) - 20.90, abs=0.006)
    assert len([line for line in lines if line.startswith(("center", "random"))]) == 2 * 3 * 2
    assert "not comparable: 32 px instead of 128" in lines
    assert any(line.startswith("not comparable: other images: celeba <- emb") for line in lines)


def test_missing_weights_and_test_set_are_named(project, tmp_path):
    config, out = project
    with pytest.raises(UserError, match=r"encoder_lv1\.pkl: no such file"):
        calibrate(config, tmp_path, 8, out)
    with pytest.raises(UserError, match=r"manifest\.json: no such file: .*dvc repro testsets"):
        calibrate(config, out / "weights", 8, tmp_path)
