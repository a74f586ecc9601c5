from __future__ import annotations

import errno
import hashlib
import os
import stat

import numpy as np
import pytest
from PIL import Image

from dfpg.core import files
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write, read_image, sha256, write_image, write_text


def test_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail_half_way() -> None:
        with atomic_write(path) as stream:
            stream.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_full_disk_is_one_line_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(UserError, match="No space left on device") as error:
        write_text(path, "new")
    assert "\n" not in str(error.value)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_sha256_of_a_known_string(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()


def test_image_round_trip(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png"), image)


def test_truncated_image_is_refused(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(UserError, match=r"a\.jpg: damaged image"):
        read_image(path)


def test_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_PIXELS", 1_000)
    write_image(tmp_path / "a.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(UserError, match="over the limit"):
        read_image(tmp_path / "a.png")


def test_other_formats_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    with pytest.raises(UserError, match=r"not an image of .*: convert it"):
        read_image(tmp_path / "a.gif")


def test_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png: no such image"):
        read_image(tmp_path / "nothing.png")


@pytest.mark.parametrize(
    ("mode", "suffix", "message"),
    [
        ("RGBA", "png", "has transparency"),
        ("LA", "png", "has transparency"),
        ("I;16", "png", "more than 8 bits per channel"),
        ("F", "tif", "more than 8 bits per channel"),
        ("CMYK", "jpg", "mode CMYK, neither grey nor RGB"),
        ("1", "png", "mode 1, neither grey nor RGB"),
    ],
)
def test_what_is_no_opaque_8_bit_image_is_refused(tmp_path, mode, suffix, message):
    Image.new(mode, (8, 8)).save(tmp_path / f"a.{suffix}")
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_image_is_read_upright(tmp_path, format):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :8] = 250
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees against the clock
    Image.fromarray(image).rotate(-90, expand=True).save(tmp_path / "a", format=format, exif=exif)
    read = read_image(tmp_path / "a")
    assert read.shape == image.shape
    assert np.abs(read.astype(int) - image).mean() < 8


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damage_anywhere_in_a_file_is_one_line(tmp_path):
    """PIL raises struct.error, TypeError and more for such files."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    refused = 0
    for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        options = {} if format == "BMP" else {"exif": exif}
        Image.new("RGB", (12, 10), (9, 90, 200)).save(tmp_path / "a", format=format, **options)
        whole = (tmp_path / "a").read_bytes()
        for _ in range(60):
            data = bytearray(whole)
            for place in rng.integers(0, min(len(data), 300), 3):
                data[place] = rng.integers(256)
            (tmp_path / "a").write_bytes(data)
            try:
                read_image(tmp_path / "a")
            except UserError:
                refused += 1
    assert refused > 30


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("mode", [0o666, 0o600, 0o640, 0o444])
def test_a_file_is_never_more_open_than_its_mode_and_the_umask(tmp_path, mode, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a", mode) as stream:
            stream.write(b"a")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode & ~umask


def refuse_folders(monkeypatch, number: int) -> None:
    """Let fsync fail for folders, after a file has replaced another one."""
    fsync = os.fsync

    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", refuse)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EACCES])
def test_a_folder_that_knows_no_fsync_does_not_matter(tmp_path, monkeypatch, number):
    write_text(tmp_path / "a", "old")
    refuse_folders(monkeypatch, number)
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new"


def test_a_disk_that_fails_after_the_file_is_replaced_is_not_said_to_hold_the_old_one(
    tmp_path, monkeypatch
):
    write_text(tmp_path / "a", "old")
    refuse_folders(monkeypatch, errno.EIO)
    with pytest.raises(UserError, match="written, but its folder cannot be synced") as error:
        write_text(tmp_path / "a", "new")
    assert "as it was before" not in str(error.value)
    assert (tmp_path / "a").read_text() == "new"


def test_the_longest_name_that_a_file_may_have_is_written(tmp_path):
    name = "ü" * 125 + ".jpg"
    write_text(tmp_path / name, "a")
    assert [path.name for path in tmp_path.iterdir()] == [name]
