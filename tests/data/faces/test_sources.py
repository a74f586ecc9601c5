"""The sets are read in their owners' layouts; what is missing or wrong is named."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.layouts import celeba, celebamask_hq, people, save
from PIL import Image

from dfpg.core.config import Augmentation, FaceSource
from dfpg.core.errors import UserError
from dfpg.core.profile import resolve_profile
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import quantise
from dfpg.data.faces.celeba import CelebA, original_split
from dfpg.data.faces.celebamask_hq import COUNTS, MAPPING, PARTS, CelebAMaskHQ
from dfpg.data.faces.dataset import cut
from dfpg.data.faces.ffhq import FFHQ, numbered_split
from dfpg.data.faces.folder import Folder
from dfpg.data.faces.helen import Helen
from dfpg.data.faces.readers import open_source
from dfpg.data.faces.source import SPLITS, choose, hashed_split, reduce
from dfpg.pretrained.parsing import CLASSES

PLAIN = Augmentation(random_crop=False, flip=False, rotation=0.0, color_jitter=0.0)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def celeba_of_noise(root: Path) -> CelebA:
    return celeba_of(noise(218, 178), root)


def celeba_of(picture: np.ndarray, root: Path) -> CelebA:
    save(root / "img_align_celeba" / "000001.png", picture)
    (root / "identity_CelebA.txt").write_text("000001.png 7\n")
    (root / "list_eval_partition.txt").write_text("000001.png 2\n")
    return CelebA(root)


def centre_view(source: CelebA, profile: str, protocol: str) -> np.ndarray:
    """Through the stored square, the protocol's framing, its crop and the test set's own view."""
    config = resolve_profile(profile)[0]
    section = config.protocols[protocol]
    framed = source.close if section.framing == "close" else None
    stored = cut(source.frame("000001.png").picture[None], framed)
    crop = section.test.subsets["celeba"].crop or section.crop
    view = face_views(torch.from_numpy(stored.copy()), crop, PLAIN, config.image_size, None)
    return quantise(view)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("profile", ["research", "paper"])
def test_protocol_a_shows_shens_celeba_crop_bit_for_bit(tmp_path, profile):
    view = centre_view(celeba_of_noise(tmp_path), profile, "a")
    assert np.array_equal(view, noise(218, 178)[68:196, 25:153])


@pytest.mark.parametrize("profile", ["research", "paper"])
def test_protocol_b_shows_the_whole_width_of_celeba(tmp_path, profile):
    """Every pixel tells its row and column; the crop is 178.5 px wide instead of 178."""
    picture = np.stack([*np.indices((218, 178)), np.zeros((218, 178))], -1).astype(np.uint8)
    view = centre_view(celeba_of(picture, tmp_path), profile, "b")
    whole = Image.fromarray(picture[20:198]).resize((128, 128), Image.Resampling.BICUBIC)
    assert np.abs(view.astype(int) - np.asarray(whole)).max() <= 1


def test_a_square_of_celeba_is_reflected_only_beyond_the_picture(tmp_path):
    stored, picture = celeba_of_noise(tmp_path).frame("000001.png").picture, noise(218, 178)
    assert np.array_equal(stored[:, 13:191], picture[7:211])
    assert np.array_equal(stored[:, :13], picture[7:211, 13:0:-1])
    assert np.array_equal(stored[:, 191:], picture[7:211, -2:-15:-1])


def test_celeba_landmarks_move_with_the_square(tmp_path):
    (tmp_path / "list_landmarks_align_celeba.txt").write_text(
        "1\nlefteye_x ...\n000001.png 70 110 108 111 88 136 72 152 106 152\n"
    )
    points = celeba_of_noise(tmp_path).frame("000001.png").landmarks
    assert points[0].tolist() == [70 + 13, 110 - 7]
    assert points[4].tolist() == [106 + 13, 152 - 7]


def test_celeba_people_are_in_one_split(tmp_path):
    who = people()
    celeba(tmp_path, "train", who[:2])
    celeba(tmp_path, "test", who[2:3], first=100)
    identity = tmp_path / "identity_CelebA.txt"
    identity.write_text(identity.read_text().replace("000001.png 1000", "000001.png 100000"))
    source = CelebA(tmp_path)
    assert "000001.png" not in set(source.index["file"])
    assert (source.index.groupby("person")["split"].nunique() == 1).all()
    assert "1 pictures of people in two splits" in source.rule


def test_celeba_subfolders_of_the_download_are_found(tmp_path):
    celeba_of_noise(tmp_path)
    for folder, name in (
        ("Img", "img_align_celeba"),
        ("Anno", "identity_CelebA.txt"),
        ("Eval", "list_eval_partition.txt"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / name).rename(tmp_path / folder / name)
    assert len(CelebA(tmp_path).index) == 1


@pytest.mark.parametrize("missing", ["img_align_celeba", "identity_CelebA.txt"])
def test_missing_part_of_celeba_is_named_with_its_origin(tmp_path, missing):
    celeba_of_noise(tmp_path)
    (tmp_path / missing).rename(tmp_path / "away")
    with pytest.raises(UserError, match=rf"no {missing} or .*mmlab\.ie\.cuhk"):
        CelebA(tmp_path)


def test_wrong_celeba_is_refused(tmp_path):
    source = celeba_of_noise(tmp_path)
    save(tmp_path / "img_align_celeba" / "000001.png", noise(128, 128))
    with pytest.raises(UserError, match=r"000001\.png: 128x128 px: .*178x218"):
        source.frame("000001.png")
    save(tmp_path / "img_align_celeba" / "000002.png", noise(218, 178))
    with pytest.raises(UserError, match=r"000002\.png: its line in identity_CelebA\.txt"):
        CelebA(tmp_path)


def test_changed_list_of_the_whole_set_is_refused(tmp_path, monkeypatch):
    celeba_of_noise(tmp_path)
    monkeypatch.setattr(CelebA, "size", 1)
    with pytest.raises(UserError, match=r"identity_CelebA\.txt: not the released list"):
        CelebA(tmp_path)


def test_split_of_celeba_has_the_official_sizes():
    splits = pd.Series([original_split(number) for number in range(1, 202_600)])
    assert splits.value_counts().to_dict() == {"train": 162_770, "val": 19_867, "test": 19_962}


def hq_with_mapping(root: Path, originals: list[int]) -> CelebAMaskHQ:
    for number in range(len(originals)):
        save(root / "CelebA-HQ-img" / f"{number}.png", noise(512, 512))
    rows = [f"{n:8d}  {o - 1:8d}  {o:06d}.jpg" for n, o in enumerate(originals)]
    (root / MAPPING).write_text("\n".join(["idx  orig_idx  orig_file", *rows]))
    return CelebAMaskHQ(root)


def test_celebamask_hq_is_split_as_its_originals_are(tmp_path):
    source = hq_with_mapping(tmp_path, [162_770, 162_771, 182_637, 182_638])
    assert source.index["split"].tolist() == ["train", "val", "val", "test"]
    assert not source.masks


def test_whole_celebamask_hq_must_split_as_published(tmp_path, monkeypatch):
    monkeypatch.setattr(CelebAMaskHQ, "size", 2)
    with pytest.raises(UserError, match=rf"not .*{COUNTS['train']}"):
        hq_with_mapping(tmp_path, [1, 2])


def test_damaged_mapping_is_named(tmp_path):
    hq_with_mapping(tmp_path, [1, 2])
    (tmp_path / MAPPING).write_text("idx orig_idx orig_file\n0 0 000001.jpg\n1 1 broken\n")
    with pytest.raises(UserError, match="line of picture 1 missing or damaged"):
        CelebAMaskHQ(tmp_path)


def test_masks_of_single_classes_are_combined_as_released(tmp_path):
    """A later class covers an earlier one; hair lies over skin."""
    source = hq_with_mapping(tmp_path, [1])
    folder = tmp_path / "CelebAMask-HQ-mask-anno" / "0"
    mask = np.zeros((512, 512), np.uint8)
    mask[:, :384] = 255
    save(folder / "00000_skin.png", mask)
    save(folder / "00000_hair.png", np.repeat(mask.T[..., None], 3, 2))
    source = CelebAMaskHQ(tmp_path)
    labels = source.labels("0.png")
    assert labels.shape == (256, 256)
    assert [CLASSES[labels[row, 10]] for row in (10, 250)] == ["hair", "skin"]
    assert [CLASSES[labels[row, 250]] for row in (10, 250)] == ["hair", "background"]
    assert PARTS[0] == "skin"


def test_combined_masks_are_mapped_to_the_parsing_classes(tmp_path):
    celebamask_hq(tmp_path, [noise(160, 160)], ["abc"])
    labels = CelebAMaskHQ(tmp_path).labels("abc.png")
    assert CLASSES[labels[0, 0]] == "skin"
    assert CLASSES[labels[0, 255]] == "hair"
    save(tmp_path / "masks" / "abc.png", np.full((512, 512), 19, np.uint8))
    with pytest.raises(UserError, match="class 19 is unknown"):
        CelebAMaskHQ(tmp_path).labels("abc.png")
    (tmp_path / "masks" / "abc.png").unlink()
    with pytest.raises(UserError, match=r"no mask of picture abc\.png"):
        CelebAMaskHQ(tmp_path).labels("abc.png")


def test_wide_framing_keeps_the_protocols_crop_above_the_image_size():
    for profile in ("research", "paper"):
        found = resolve_profile(profile)[0]
        assert found.protocols["b"].crop * CelebAMaskHQ.side >= found.image_size


def test_reduction_is_by_area():
    """The mean grey stays, and a checkerboard of single pixels becomes grey."""
    board = np.indices((512, 512)).sum(0) % 2 * np.uint8(200)
    small = reduce(np.repeat(board[..., None], 3, 2).astype(np.uint8), 256)
    assert np.abs(small.astype(int) - 100)[3:-3, 3:-3].max() <= 1


def test_ffhq_is_split_by_number_only_where_it_is_whole(tmp_path, monkeypatch):
    assert [numbered_split(n) for n in (0, 57_999, 58_000, 59_999, 60_000)] == [
        "train", "train", "val", "val", "test",
    ]  # fmt: skip
    for number in (3, 61_000):
        save(tmp_path / "images1024x1024" / "00000" / f"{number:05d}.png", noise(256, 256))
    assert "SHA-256" in FFHQ(tmp_path).rule
    monkeypatch.setattr(FFHQ, "size", 2)
    assert FFHQ(tmp_path).index["split"].tolist() == ["train", "test"]


def test_ffhq_thumbnails_are_refused(tmp_path):
    save(tmp_path / "00000.png", noise(128, 128))
    with pytest.raises(UserError, match=r"128x128 px: .*not the thumbnails"):
        FFHQ(tmp_path).frame("00000.png")


def test_split_by_hash_does_not_depend_on_the_rest_of_the_set():
    names = [f"{index:05d}" for index in range(20_000)]
    shares = pd.Series([hashed_split(name) for name in names]).value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.6, "val": 0.05, "test": 0.35}, abs=0.01)
    # By sha256sum they begin with 3ce82d82, 55579b55, 9c and e7042ac7.
    known = {"100032540": "train", "anna": "train", "v13": "val", "00000": "test"}
    assert {name: hashed_split(name) for name in known} == known


def test_a_limited_training_set_keeps_people_together():
    index = pd.DataFrame({"file": [f"{i:03d}" for i in range(280)]})
    index["person"] = [f"p{i // 7}" for i in range(280)]
    index["split"] = ["train"] * 210 + ["val"] * 35 + ["test"] * 35
    kept = choose(index, 50)
    train = kept[kept["split"] == "train"]
    assert train.groupby("person").size().tolist() == [5] * 10
    assert kept["split"].value_counts().to_dict() == {"train": 50, "val": 35, "test": 35}
    assert set(choose(index, 40)["file"]) < set(kept["file"])
    assert len(choose(index, None)) == 280
    assert kept["file"].is_monotonic_increasing
    more = choose(index, 170)
    assert more[more["split"] == "train"].groupby("person").size().between(5, 7).all()


def test_source_without_a_folder_is_one_line(tmp_path):
    where = r"params\.yaml: faces\.ffhq\.path"
    with pytest.raises(UserError, match=rf"{where}: not set: .*github\.com/NVlabs/ffhq-dataset"):
        open_source("ffhq", FaceSource(reader="ffhq", path=None))
    with pytest.raises(UserError, match=rf"{where}: .*nowhere: no such folder"):
        open_source("ffhq", FaceSource(reader="ffhq", path=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="no images of"):
        open_source("ffhq", FaceSource(reader="ffhq", path=str(tmp_path)))
    assert set(SPLITS) == {"train", "val", "test"}


def test_one_folder_too_deep_is_read(tmp_path):
    """As archives unpack: a folder in one of its name; people in a folder that says nothing."""
    source = celeba_of_noise(tmp_path / "celeba")
    pictures = tmp_path / "celeba" / "img_align_celeba"
    pictures.rename(tmp_path / "inner")
    pictures.mkdir()
    (tmp_path / "inner").rename(pictures / "img_align_celeba")
    again = CelebA(tmp_path / "celeba")
    assert again.index.equals(source.index)
    assert again.frame("000001.png").picture.std() > 20
    for person in ("anna", "berta"):
        save(tmp_path / "portraits" / "all" / person / "1.png", noise(8, 8))
    folder = Folder(tmp_path / "portraits")
    assert folder.index["person"].tolist() == ["anna", "berta"]
    assert folder.index["file"].tolist() == ["anna/1.png", "berta/1.png"]


def test_the_right_folder_is_named_where_another_one_is_given(tmp_path):
    celeba_of_noise(tmp_path / "sets" / "celeba")
    with pytest.raises(UserError, match=r"no img_align_celeba .*, but in .*celeba: give that"):
        CelebA(tmp_path / "sets")
    with pytest.raises(UserError, match=r"no img_align_celeba .*, but in .*celeba: give that"):
        CelebA(tmp_path / "sets" / "celeba" / "img_align_celeba")


@pytest.mark.parametrize("name", ["identity_CelebA.txt", "list_eval_partition.txt"])
def test_lists_of_another_system_are_read(tmp_path, name):
    celeba_of_noise(tmp_path)
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert len(CelebA(tmp_path).index) == 1
    path.write_text(path.read_text(), encoding="utf-16")
    with pytest.raises(UserError, match=rf"{name}: cannot be read as UTF-8 text"):
        CelebA(tmp_path)


def test_a_picture_of_the_list_that_is_not_there_is_named(tmp_path):
    celeba_of_noise(tmp_path)
    for name in ("identity_CelebA.txt", "list_eval_partition.txt"):
        with (tmp_path / name).open("a") as stream:
            stream.write("000002.png 1\n")
    (tmp_path / "img_align_celeba" / "Thumbs.db").touch()
    source = CelebA(tmp_path)
    assert source.remark == (
        "not at hand of the list: 1, such as 000002.png; skipped: 1 hidden or left by the system"
    )


def test_a_damaged_landmark_is_named(tmp_path):
    (tmp_path / "list_landmarks_align_celeba.txt").write_text("1\nx\n000001.png 70 110 108\n")
    source = celeba_of_noise(tmp_path)
    with pytest.raises(UserError, match=r"000001\.png: its line in list_landmarks"):
        source.frame("000001.png")


def test_how_a_name_is_written_decides_neither_person_nor_split(tmp_path):
    """Case 16: macOS writes NFD."""
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "Ünï")
        save(tmp_path / form / name / "1.png", noise(8, 8))
        save(tmp_path / form / "anna" / "1.png", noise(8, 8))
    indexes = [Folder(tmp_path / form).index for form in ("NFC", "NFD")]
    assert indexes[0][["person", "split"]].equals(indexes[1][["person", "split"]])
    assert (tmp_path / "NFD" / indexes[1]["file"].iloc[1]).is_file()


def test_a_name_that_is_no_utf8_is_one_line(tmp_path):
    save(tmp_path / "a.png", noise(8, 8))
    shutil.copy(tmp_path / "a.png", os.fsencode(tmp_path) + b"/\xff\x1b[2J.png")
    for reader in (Folder, FFHQ, Helen):
        with pytest.raises(UserError) as caught:
            reader(tmp_path)
        assert str(caught.value).endswith(r"\xff\x1b[2J.png: its name is not UTF-8: rename it")
