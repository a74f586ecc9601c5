from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.kernels import kernels_folder
from PIL import Image

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.blur.kernels import (
    FAMILIES,
    SPLITS,
    KernelBank,
    build_kernels,
    canvas_size,
    centroids,
    kernel_report,
    kernel_sheet,
    load_kernels,
    make_kernels,
)


@pytest.fixture(scope="module")
def built(config):
    return kernels_folder(config)


def with_counts(config, **counts):
    spline = config.kernels.spline.model_copy(update=counts)
    return config.model_copy(
        update={"kernels": config.kernels.model_copy(update={"spline": spline})}
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (128, [13, 15, 17, 19, 21, 23, 25, 27]),
        (64, [7, 9, 9, 11, 11, 13, 13, 15]),
        (32, [5, 5, 5, 5, 7, 7, 7, 7]),
        (256, [27, 31, 35, 39, 43, 47, 51, 55]),
    ],
)
def test_canvas_is_the_smallest_odd_side_that_holds_the_kernel(size, expected):
    assert [canvas_size(nominal, size) for nominal in NOMINAL_SIZES] == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_bank_has_the_counts_and_sizes_of_the_config(config, built, family):
    bank = load_kernels(built / f"{family}.safetensors")
    settings = getattr(config.kernels, family)
    share = 1 if family == "spline" else len(NOMINAL_SIZES)
    for split in SPLITS:
        arrays = getattr(bank, split)
        assert list(arrays) == list(NOMINAL_SIZES)
        for nominal, kernels in arrays.items():
            side = canvas_size(nominal, config.image_size)
            assert kernels.shape == (getattr(settings, split) // share, side, side)
            assert kernels.dtype == np.float32
            assert kernels.min() >= 0
            np.testing.assert_allclose(kernels.astype(np.float64).sum((1, 2)), 1, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_kernel_is_in_two_parts(built, family):
    bank = load_kernels(built / f"{family}.safetensors")
    train, test, validation = (
        [kernel.tobytes() for kernels in getattr(bank, split).values() for kernel in kernels]
        for split in SPLITS
    )
    held_out = test + validation
    assert set(train).isdisjoint(held_out)
    assert len(set(held_out)) == len(held_out)


@pytest.mark.parametrize("family", FAMILIES)
def test_kernels_made_again_are_the_same(config, built, family):
    bank = load_kernels(built / f"{family}.safetensors")
    np.testing.assert_array_equal(make_kernels(config, family, "test", 13), bank.test[13])


@pytest.mark.slow
def test_same_bytes_on_every_run(config, built, tmp_path):
    build_kernels(config, tmp_path)
    for path in built.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_the_number_of_training_kernels_leaves_the_test_kernels(config):
    more = with_counts(config, train=99)
    np.testing.assert_array_equal(
        make_kernels(config, "spline", "test", 17), make_kernels(more, "spline", "test", 17)
    )


def test_the_seed_changes_the_kernels(config):
    other = config.model_copy(update={"seed": config.seed + 1})
    assert not np.array_equal(
        make_kernels(config, "trajectory", "test", 17),
        make_kernels(other, "trajectory", "test", 17),
    )


def test_a_changed_byte_is_refused_by_name(built, tmp_path):
    content = bytearray((built / "spline.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "spline.safetensors").write_bytes(content)
    (tmp_path / "manifest.json").write_bytes((built / "manifest.json").read_bytes())
    with pytest.raises(UserError, match=r"spline\.safetensors: damaged") as error:
        load_kernels(tmp_path / "spline.safetensors")
    assert "\n" not in str(error.value)


def test_a_missing_or_broken_manifest_is_a_user_error(built, tmp_path):
    (tmp_path / "spline.safetensors").write_bytes((built / "spline.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"manifest\.json: no such file"):
        load_kernels(tmp_path / "spline.safetensors")
    for broken in ("{", "[]", json.dumps({"sha256": {}})):
        (tmp_path / "manifest.json").write_text(broken)
        with pytest.raises(UserError, match=r"manifest\.json: damaged"):
            load_kernels(tmp_path / "spline.safetensors")


def test_too_few_trajectories_are_a_user_error(config):
    shake = config.kernels.trajectory.model_copy(update={"test": 7})
    kernels = config.kernels.model_copy(update={"trajectory": shake})
    with pytest.raises(UserError, match=r"kernels\.trajectory\.test"):
        make_kernels(config.model_copy(update={"kernels": kernels}), "trajectory", "test", 13)


def test_centroid_of_known_kernels():
    kernels = np.zeros((2, 7, 7), np.float32)
    kernels[0, 1, 2] = 1
    kernels[1, 3, [1, 4]] = 0.5
    np.testing.assert_allclose(centroids(kernels), [[-2, -1], [0, -0.5]])


def test_report_lists_every_group(config, built):
    report = kernel_report(load_kernels(built / "trajectory.safetensors"))
    assert len(report) == len(SPLITS) * len(NOMINAL_SIZES)
    assert report.query("split == 'train'")["count"].sum() == config.kernels.trajectory.train
    assert report["sum_min"].min() > 1 - 1e-6
    assert report["sum_max"].max() < 1 + 1e-6
    sides = report.groupby("nominal")["support"].max()
    assert sides[13] <= 5 < sides[27] <= canvas_size(27, config.image_size)


def test_sheet_shows_each_kernel(tmp_path):
    def sheet(kernels):
        kernel_sheet(KernelBank("spline", {}, {13: kernels}), tmp_path / "sheet.png", columns=3)
        with Image.open(tmp_path / "sheet.png") as image:
            return np.asarray(image.convert("L")).astype(int)

    kernels = np.full((3, 13, 13), 1 / 169, np.float32)
    dark = kernels.copy()
    dark[1] = 0
    dark[1, 6, 6] = 1
    changed = np.abs(sheet(kernels) - sheet(dark)) > 100
    assert 0.02 < changed.mean() < 0.5
