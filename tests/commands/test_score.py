from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers.commands import run_commands, use_assets
from helpers.portraits import faces
from PIL import Image
from scipy.ndimage import uniform_filter

from dfpg.commands.export import export_images, file_names
from dfpg.commands.matching import match_images
from dfpg.commands.score import image_sizes, score, score_pairs, summarise
from dfpg.core.errors import UserError
from dfpg.core.files import write_image
from dfpg.data import testsets
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.registry import build_metrics
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.vggface import PriorNetwork, load_trunk

SIDE = 48


def pictures(count: int, side: int = SIDE) -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (count, side, side, 3))
    return uniform_filter(noise, (1, 3, 3, 1)).astype(np.uint8)


def blur(images: np.ndarray, width: int) -> np.ndarray:
    return uniform_filter(images.astype(float), (1, 1, width, 1)).astype(np.uint8)


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Two sharp faces; three restored images in the published naming and one of equal name."""
    for name, image in zip(("a", "b.2"), pictures(2), strict=True):
        write_image(tmp_path / "sharp" / f"{name}.png", image)
        for kernel in (1, 2):
            stem = f"{name}_ker{kernel:02d}_blur_k13" if (name, kernel) != ("a", 2) else "a"
            restored = blur(image[None], 2 * kernel + 1)[0]
            write_image(tmp_path / "restored" / f"{stem}.png", restored)
    (tmp_path / "restored" / ".hidden").write_text("passed over")
    return tmp_path / "restored", tmp_path / "sharp"


def test_files_match_by_equal_names_or_by_the_published_naming(folders):
    found = match_images(*folders)
    pairs = found.pairs
    assert [(pair.restored.name, pair.sharp.name) for pair in pairs] == [
        ("a.png", "a.png"),
        ("a_ker01_blur_k13.png", "a.png"),
        ("b.2_ker01_blur_k13.png", "b.2.png"),
        ("b.2_ker02_blur_k13.png", "b.2.png"),
    ]
    assert list(found.ways.values()) == [1, 3]
    assert image_sizes(pairs) == [(SIDE, SIDE)] * 4


def test_an_equal_name_comes_before_the_published_naming(folders):
    restored, sharp = folders
    (restored / "a_ker01_blur_k13.png").rename(restored / "c.png")
    (sharp / "b.2.png").rename(sharp / "c.png")
    for kernel in (1, 2):
        name = f"b.2_ker0{kernel}_blur_k13.png"
        (sharp / name).write_bytes((sharp / "a.png").read_bytes())
    found = match_images(restored, sharp)
    assert found.ways == {"equal names": 4}
    assert all(pair.restored.name == pair.sharp.name for pair in found.pairs)


def rename(folder: str, old: str, new: str):
    return lambda root: (root / folder / old).rename(root / folder / new)


def save(mode: str, suffix: str = "png", size: tuple[int, int] = (SIDE, SIDE)):
    return lambda root: Image.new(mode, size).save(root / "restored" / f"a.{suffix}")


def save_wide(factor: int):
    """The sharp image in 16 bits: stretched to them (257), or 12 bits of them (16); case 3."""

    def spoil(root: Path) -> None:
        wide = np.asarray(Image.open(root / "sharp" / "a.png")).astype(np.uint16) * factor
        cv2.imwrite(str(root / "restored" / "a.png"), wide[..., ::-1])

    return spoil


def save_palette(root: Path) -> None:
    """A palette with a transparent entry; case 4."""
    image = Image.open(root / "sharp" / "a.png").quantize(16)
    image.save(root / "restored" / "a.png", transparency=3)


def save_cmyk(root: Path) -> None:
    Image.new("CMYK", (SIDE, SIDE)).save(root / "restored" / "a.jpg")
    (root / "restored" / "a.png").unlink()


def save_two(root: Path) -> None:
    image = Image.open(root / "sharp" / "a.png")
    image.save(root / "restored" / "a.png", save_all=True, append_images=[image.rotate(90)])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (rename("restored", "a.png", "x.png"), r"x\.png: no sharp image 'x' in"),
        (
            lambda root: [path.unlink() for path in (root / "restored").glob("b.2*")],
            r"b\.2\.png: no restored image in .* \(1 of 2 sharp images have none\)",
        ),
        (save("RGB", size=(SIDE, SIDE + 1)), r"a\.png: 48 x 49 px, but .*a\.png has 48 x 48"),
        (save("RGB", suffix="bmp"), r"a\.png: a\.bmp has the same name without ending"),
        (save("RGBA"), r"a\.png: has transparency"),
        (save("I;16"), r"a\.png: more than 8 bits per channel"),
        (save_wide(257), r"a\.png: more than 8 bits per channel"),
        (save_wide(16), r"a\.png: more than 8 bits per channel"),
        (save_palette, r"a\.png: has transparency"),
        (save_cmyk, r"a\.jpg: mode CMYK, neither grey nor RGB"),
        (save_two, r"a\.png: 2 pictures in one file"),
        (lambda root: (root / "restored" / "a.png").write_text("hello"), r"a\.png: not an image"),
        (
            lambda root: (root / "restored" / "a.png").write_bytes(
                (root / "restored" / "a.png").read_bytes()[:200]
            ),
            r"a\.png: damaged image",
        ),
        (lambda root: (root / "sharp").rename(root / "gone"), r"sharp: no such folder"),
        (
            lambda root: [path.unlink() for path in (root / "restored").iterdir()],
            r"restored: no images of PNG",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(folders, tmp_path, spoil, message):
    """Cases 3 (16 bit, and 12 bit in 16) and 4 (a palette with a transparent entry) among it."""
    spoil(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        score(*folders, tmp_path / "scores.csv", False, None)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "scores.csv").exists()


def test_an_existing_csv_is_not_overwritten(folders, tmp_path):
    (tmp_path / "scores.csv").write_text("mine")
    with pytest.raises(UserError, match="exists: name another file"):
        score(*folders, tmp_path / "scores.csv", False, None)
    assert (tmp_path / "scores.csv").read_text() == "mine"


@pytest.fixture(scope="module")
def metrics(config):
    return build_metrics(config, PriorNetwork(load_trunk(asset_path("vgg16_imagenet"))))


def exported(folder: Path) -> testsets.TestSet:
    """A test set of two subsets, six faces, two kernels each, and its export in ``folder``."""
    sharp = pictures(6)
    rows = [
        ("helen" if face < 3 else "celeba", f"p{face}", face, kernel)
        for kernel in range(2)
        for face in range(6)
    ]
    index = pd.DataFrame(rows, columns=["subset", "person", "sharp", "kernel"])
    index = index.assign(mode="center", face=index["person"] + ".jpg", size=13)
    index.insert(0, "image", range(len(index)))
    blurred = [blur(sharp[[face]], 3 + 2 * kernel)[0] for _, _, face, kernel in rows]
    testset = testsets.TestSet(sharp, np.stack(blurred), index)
    export_images(testset, "a", folder, force=False)
    return testset


def test_an_exported_test_set_scores_as_evaluate_scores_it(config, metrics, tmp_path):
    testset = exported(tmp_path / "out")
    score_testsets(config, "baselines", None, {"a": testset}, metrics, tmp_path / "baselines.csv")
    baselines = pd.read_csv(tmp_path / "baselines.csv", dtype=str)
    baselines = baselines[baselines["method"] == "blurred"].reset_index(drop=True)
    baselines["restored"] = [Path(name).name for name in file_names("a", testset.index)["blurred"]]
    for label in ("Helen", "CelebA"):
        folder = tmp_path / "out" / f"Test_data_{label}"
        matching = match_images(folder / f"final_{label}_blur", folder / f"final_{label}_gt")
        pairs = matching.pairs
        assert len(pairs) == 6
        assert list(matching.ways.values()) == [6]
        found = score_pairs(config, pairs, image_sizes(pairs), metrics)
        both = found.merge(baselines, on="restored", suffixes=("", "_stage"))
        assert len(both) == 6
        for name in metrics:
            text = both[name].map("{:.6f}".format)
            if name.startswith("lpips"):  # its last bit depends on the batch it is computed in
                np.testing.assert_allclose(both[name], both[f"{name}_stage"].astype(float), 0, 1e-6)
            else:
                assert text.tolist() == both[f"{name}_stage"].tolist(), name


def test_images_of_several_sizes_keep_their_own_scores(config, metrics, tmp_path):
    for name, side in (("a", 48), ("b", 64), ("c", 48)):
        image = pictures(1, side)
        write_image(tmp_path / "sharp" / f"{name}.png", image[0])
        write_image(tmp_path / "restored" / f"{name}.png", blur(image, 3 + 2 * (name == "c"))[0])
    pairs = match_images(tmp_path / "restored", tmp_path / "sharp").pairs
    wanted = {"psnr": metrics["psnr"]}
    together = score_pairs(config, pairs, image_sizes(pairs), wanted)
    alone = [score_pairs(config, [p], image_sizes([p]), wanted)["psnr"][0] for p in pairs]
    assert together["restored"].tolist() == ["a.png", "b.png", "c.png"]
    assert together["psnr"].tolist() == alone
    assert len(set(alone)) == 3


def test_an_image_too_large_for_a_batch_scores_as_it_does_in_one(
    config, metrics, folders, monkeypatch
):
    pairs = match_images(*folders).pairs
    together = score_pairs(config, pairs, image_sizes(pairs), metrics)
    monkeypatch.setattr("dfpg.commands.score.BATCH_PIXELS", SIDE * SIDE)
    pd.testing.assert_frame_equal(
        score_pairs(config, pairs, image_sizes(pairs), metrics), together, rtol=1e-5, atol=2e-6
    )


def test_the_interval_is_over_sharp_images(config, metrics):
    """Repeating every image four times adds no certainty."""
    psnr = {"psnr": metrics["psnr"]}
    once = pd.DataFrame(
        {"sharp": list("abcdefghij"), "psnr": [20.0, 21, 23, 24, 24, 26, 22, 24, 23, 23]}
    )
    lines = [summarise(config, frame, psnr).splitlines() for frame in (once, pd.concat([once] * 4))]
    assert lines[0][1] == lines[1][1]
    assert lines[0][1].startswith("psnr              23.0000 [")
    assert "mean over 40 images [95 % interval, 10 sharp images are resampled]" in lines[1][0]
    assert "paper Tables 1, 2 and 4" in lines[0][2]
    few = summarise(config, once[:9], psnr)
    assert few.splitlines()[:2] == [
        "mean over 9 images, without intervals: of 9 sharp images they would say nothing",
        "psnr              23.0000, higher is better",
    ]


def test_an_interval_says_nothing_impossible(config, metrics):
    """Case 10: three pairs gave an SSIM in [0.04, 5.86]."""
    ssim = {"ssim_matlab_rgb": metrics["ssim_matlab_rgb"], "lpips_alex": metrics["lpips_alex"]}
    values = {
        "ssim_matlab_rgb": [0.99, 0.4, 0.99, 0.98, 0.99] * 2,
        "lpips_alex": [0.0, 0.9, 0, 0, 0] * 2,
    }
    ten = pd.DataFrame({"sharp": list("abcdefghij"), **values})
    lines = summarise(config, ten[:3], ssim).splitlines()
    assert lines[0] == (
        "mean over 3 images, without intervals: of 3 sharp images they would say nothing"
    )
    assert lines[1] == "ssim_matlab_rgb   0.7933, higher is better"
    lines = summarise(config, ten, ssim).splitlines()
    assert re.match(r"ssim_matlab_rgb   0\.8700 \[-?[01]\.\d+, 1\.0000\], higher", lines[1])
    assert re.match(r"lpips_alex        0\.1800 \[0\.0000, \d+\.\d+\], lower", lines[3])


def test_perfect_images_in_an_empty_folder_with_assets_elsewhere(folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assets = partial(use_assets, str(asset_path("lpips_alex").parent.resolve()))
    sharp = str(folders[1])
    command = ["score", "--restored", sharp, "--sharp", sharp]
    first, again = run_commands(empty, [command, command], tmp_path / "log", assets)
    assert first.code == 0, first.error
    assert "matched: 2 restored with 2 sharp images, 2 by equal names" in first.output
    assert "d_VGG: left out" in first.output
    scores = pd.read_csv(empty / "restored_scores.csv")
    assert scores["restored"].tolist() == scores["sharp"].tolist() == ["a.png", "b.2.png"]
    for name in scores.columns[2:]:
        perfect = math.inf if name == "psnr" else float(name.startswith("ssim"))
        assert scores[name].tolist() == [perfect] * 2, name
    assert not any(name.startswith("d_vgg") for name in scores)
    assert [path.name for path in empty.iterdir()] == ["restored_scores.csv"]
    assert again.code == 2
    assert again.error.startswith("dfpg: restored_scores.csv: exists")


def psnr_of_turned(root: Path, config, metrics, orientation: int | None) -> float:
    """Blurred faces scored against sharp ones, all or only the sharp ones stored lying."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    stored = {None: lambda image: image, 6: lambda image: image.transpose(Image.ROTATE_90)}
    for row in range(3):
        sharp = faces().pictures[4 * row]
        write_image(root / "restored" / f"{row}.png", blur(sharp[None], 9)[0])
        lying = stored[orientation](Image.fromarray(sharp))
        (root / "sharp").mkdir(exist_ok=True)
        lying.save(root / "sharp" / f"{row}.png", exif=exif)
    pairs = match_images(root / "restored", root / "sharp").pairs
    wanted = {"psnr": metrics["psnr"]}
    return float(score_pairs(config, pairs, image_sizes(pairs), wanted)["psnr"].mean())


def test_a_sharp_image_that_is_stored_lying_is_turned_upright(config, metrics, tmp_path):
    """Case 2: it was compared lying."""
    upright = psnr_of_turned(tmp_path / "upright", config, metrics, None)
    assert psnr_of_turned(tmp_path / "lying", config, metrics, 6) == upright
    assert 20 < upright < 35


def test_equal_images_are_counted_beside_the_mean_of_the_others(config, metrics):
    """Case 9."""
    metric = {"psnr": metrics["psnr"], "ssim_skimage": metrics["ssim_skimage"]}
    frame = pd.DataFrame(
        {
            "sharp": list("abcdefghijklmnop"),
            "psnr": [20.0, np.inf, 22, 27] * 4,
            "ssim_skimage": [0.7, 1, 0.8, 0.9] * 4,
        }
    )
    lines = summarise(config, frame, metric).splitlines()
    assert lines[1].startswith("psnr              23.0000 [")
    assert lines[1].endswith("] over 12; 4 equal, infinite, higher is better")
    assert lines[3].startswith("ssim_skimage      0.8500 [")
    psnr = {"psnr": metric["psnr"]}
    equal = summarise(config, frame[1:2], psnr).splitlines()[1]
    assert equal == "psnr              infinite: all 1 equal their sharp images, higher is better"
