from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.kernels import kernel_bank
from scipy.signal import convolve

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.data import testsets
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import quantise
from dfpg.data.blur.kernels import FAMILIES, KernelBank
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.picture_shard import write_shard
from dfpg.data.testsets import build_testset, open_testset

FILES = ("sharp.zip", "blurred.zip", "index.csv", "manifest.json")


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(0)
    coarse = rng.uniform(60, 200, (36, 6, 6, 3))
    pictures = coarse.repeat(8, 1).repeat(8, 2).round().astype(np.uint8)
    people = tuple(f"p{n // 2:02d}" for n in range(36))
    names = tuple(f"{n}.jpg" for n in range(36))
    return {"embedded": FaceSet(pictures, people, names, np.zeros((36, 5, 2), np.float32))}


@pytest.fixture(scope="module")
def banks(config):
    return {family: kernel_bank(config, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def folders(config, banks, faces, tmp_path_factory):
    out = {}
    for protocol, settings in config.protocols.items():
        out[protocol] = tmp_path_factory.mktemp(protocol)
        rate = build_testset(config, protocol, banks[settings.kernels], faces, out[protocol])
        assert rate.images == len(open_testset(out[protocol]).index)
        assert rate.seconds > 0
    return out


def with_test(config, protocol, **update):
    old = config.protocols[protocol]
    new = old.model_copy(update={"test": old.test.model_copy(update=update)})
    return config.model_copy(update={"protocols": config.protocols | {protocol: new}})


def expected_blur(sharp, kernel):
    half = kernel.shape[0] // 2
    unit = np.pad(sharp / 255, ((half, half), (half, half), (0, 0)), mode="reflect")
    channels = [convolve(unit[..., c], kernel.astype(np.float64), "valid") for c in range(3)]
    return np.stack(channels, -1) * 255


@pytest.mark.parametrize("protocol", ["a", "b"])
def test_index_says_what_every_image_is(config, folders, faces, protocol):
    data = open_testset(folders[protocol])
    settings = config.protocols[protocol].test
    groups = len(settings.subsets) * len(settings.modes)
    assert list(data.index.columns) == [
        "image", "subset", "mode", "person", "face", "sharp", "kernel", "size",
    ]  # fmt: skip
    assert data.index["image"].tolist() == list(range(groups * settings.images_per_subset))
    assert data.blurred.shape == (len(data.index), config.image_size, config.image_size, 3)
    assert data.sharp.shape[0] == groups * settings.faces_per_subset
    assert data.sharp.dtype == data.blurred.dtype == np.uint8
    assert list(data.index["subset"].unique()) == list(settings.subsets)
    assert list(data.index["mode"].unique()) == settings.modes
    source = faces["embedded"]
    owner = dict(zip(source.names, source.people, strict=True))
    assert data.index["face"].map(owner).equals(data.index["person"])
    assert data.index.groupby("person")["subset"].nunique().max() == 1
    own = {"a": [range(10)] * 2, "b": [range(10), range(10, 20), range(20, 30)]}[protocol]
    for subset, kernels in zip(settings.subsets, own, strict=True):
        assert data.index.loc[data.index["subset"] == subset, "kernel"].isin(kernels).all()
    assert data.index.groupby(["subset", "mode"])["size"].nunique().eq(8).all()


def test_images_equal_an_independent_convolution_of_the_quantised_sharp_face(folders, banks):
    data = open_testset(folders["b"])
    for row in data.index.itertuples():
        kernel = banks["spline"].test[row.size][row.kernel]
        expected = expected_blur(data.sharp[row.sharp], kernel)
        assert np.abs(data.blurred[row.image] - expected).max() <= 0.5 + 1e-3


def test_protocol_a_adds_noise_of_sigma_001(config, folders, banks):
    data = open_testset(folders["a"])
    noise = []
    for row in data.index.itertuples():
        kernel = banks["trajectory"].test[row.size][row.kernel]
        noise.append(data.blurred[row.image] - expected_blur(data.sharp[row.sharp], kernel))
    flat = np.stack(noise)
    assert config.protocols["a"].test.noise == 2.55
    # Rounding to grey levels adds a variance of 1/12.
    assert flat.std() == pytest.approx(np.sqrt(2.55**2 + 1 / 12), rel=0.02)
    assert abs(flat.mean()) < 0.1
    assert abs(np.corrcoef(flat[0].ravel(), flat[1].ravel())[0, 1]) < 0.1


def test_center_is_the_centre_view_and_random_a_view_without_jitter(config, folders, faces):
    data = open_testset(folders["b"])
    source = faces["embedded"]
    crop, size = config.protocols["b"].crop, config.image_size
    rows = data.index.drop_duplicates("sharp")
    for row in rows.query("mode == 'center'").itertuples():
        picture = torch.from_numpy(source.pictures[[source.names.index(row.face)]])
        view = face_views(picture, crop, config.protocols["b"].augmentation, size, None)
        expected = quantise(view)[0].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(data.sharp[row.sharp], expected)
    turned = data.sharp[rows.query("mode == 'random'")["sharp"].to_list()]
    assert (turned == 0).all(-1).mean() > 0.02  # black corners
    middle = turned[:, 10:-10, 10:-10]  # no brightness jitter: the pictures span 60 ... 200
    assert middle.min() >= 60
    assert middle.max() <= 200


def test_both_modes_show_the_same_pairs(folders):
    index = open_testset(folders["b"]).index
    columns = ["subset", "face", "kernel", "size"]
    center, random = (index.query("mode == @mode")[columns] for mode in ("center", "random"))
    assert center.reset_index(drop=True).equals(random.reset_index(drop=True))


def test_same_bytes_on_every_run_and_for_every_chunk(
    config, banks, faces, folders, tmp_path, monkeypatch
):
    monkeypatch.setattr(testsets, "CHUNK", 1)
    build_testset(config, "a", banks["trajectory"], faces, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (folders["a"] / name).read_bytes()


def test_a_delta_kernel_gives_the_sharp_face_back(config, faces, tmp_path):
    deltas = {k: np.zeros((30, 5, 5), np.float32) for k in NOMINAL_SIZES}
    for kernels in deltas.values():
        kernels[:, 2, 2] = 1
    build_testset(config, "b", KernelBank("spline", {}, deltas), faces, tmp_path)
    data = open_testset(tmp_path)
    np.testing.assert_array_equal(data.blurred, data.sharp[data.index["sharp"]])


def test_null_takes_all_faces_with_all_kernels(config, banks, faces, tmp_path):
    full = with_test(config, "a", images_per_subset=None, faces_per_subset=3, kernels_per_size=2)
    build_testset(full, "a", banks["trajectory"], faces, tmp_path)
    index = open_testset(tmp_path).index
    assert len(index) == 2 * 3 * 2 * 8
    assert not index.duplicated(["subset", "face", "kernel", "size"]).any()


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused_by_name(folders, tmp_path, name):
    folder = shutil.copytree(folders["a"], tmp_path / "a")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"a/.*damaged") as error:
        open_testset(folder)
    assert name == "manifest.json" or name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_or_missing_shard_is_refused_by_name(folders, tmp_path):
    folder = shutil.copytree(folders["a"], tmp_path / "a")
    content = (folder / "blurred.zip").read_bytes()
    (folder / "blurred.zip").write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"blurred\.zip: damaged"):
        open_testset(folder)
    (folder / "blurred.zip").unlink()
    with pytest.raises(UserError, match=r"blurred\.zip: no such file"):
        open_testset(folder)


def write_manifest(folder):
    hashes = {name: sha256(folder / name) for name in FILES[:-1]}
    (folder / "manifest.json").write_text(json.dumps({"sha256": hashes}))


def test_files_of_different_sets_are_refused(folders, tmp_path):
    """Each is whole, and a manifest made by hand names all of them."""
    whole = open_testset(folders["a"])
    for name, pictures in (
        ("blurred.zip", whole.blurred[:-1]),
        ("sharp.zip", whole.sharp[: whole.index["sharp"].max()]),
        ("sharp.zip", whole.sharp[:, :-1]),
    ):
        folder = shutil.copytree(folders["a"], tmp_path / "a", dirs_exist_ok=True)
        with write_shard(folder / name) as append:
            append(pictures)
        write_manifest(folder)
        with pytest.raises(UserError, match=r"a: sharp\.zip, .* are of different sets: delete the"):
            open_testset(folder)


def test_a_shard_that_only_its_manifest_calls_whole_is_refused_by_name(folders, tmp_path):
    folder = shutil.copytree(folders["a"], tmp_path / "a")
    (folder / "blurred.zip").write_bytes(b"no shard")
    write_manifest(folder)
    with pytest.raises(UserError, match=r"blurred\.zip: damaged \(File is not a zip"):
        open_testset(folder)


@pytest.fixture
def old_format(folders, tmp_path):
    folder = shutil.copytree(folders["a"], tmp_path / "old")
    hashes = {"index.csv": sha256(folder / "index.csv")}
    for name in ("sharp", "blurred"):
        (folder / f"{name}.zip").unlink()
        np.save(folder / f"{name}.npy", np.zeros((1, 8, 8, 3), np.uint8))
        hashes[f"{name}.npy"] = sha256(folder / f"{name}.npy")
    (folder / "manifest.json").write_text(json.dumps({"sha256": hashes}))
    return folder


def test_a_set_with_npy_files_is_refused_with_what_to_do(old_format):
    remedy = "delete the folder and run `dvc repro testsets` to make it again"
    with pytest.raises(UserError, match=rf"sharp\.zip: no such file: {remedy}"):
        open_testset(old_format)


def test_a_set_made_over_one_with_npy_files_leaves_none_of_them(config, banks, faces, old_format):
    build_testset(config, "a", banks["trajectory"], faces, old_format)
    assert {path.name for path in old_format.iterdir()} == set(FILES)


def test_kernels_made_for_other_parameters_are_refused(config, banks, faces, tmp_path):
    few = {size: kernels[:4] for size, kernels in banks["trajectory"].test.items()}
    with pytest.raises(UserError, match=r"4 per size.*needs 10.*dvc repro kernels"):
        build_testset(config, "a", KernelBank("trajectory", {}, few), faces, tmp_path)


def test_an_unwritable_folder_leaves_nothing_half_written(config, banks, faces, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        build_testset(config, "a", banks["trajectory"], faces, tmp_path / "file" / "a")


def test_a_write_that_fails_half_way_keeps_the_old_shard(
    config, banks, faces, folders, tmp_path, monkeypatch
):
    folder = shutil.copytree(folders["a"], tmp_path / "a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(testsets, "quantise_unit", full)
    with pytest.raises(UserError, match=r"blurred\.zip: cannot write \(No space left"):
        build_testset(config, "a", banks["trajectory"], faces, folder)
    monkeypatch.undo()
    open_testset(folder)
    assert {path.name for path in folder.iterdir()} == set(FILES)
