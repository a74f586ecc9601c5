from __future__ import annotations

import errno
import hashlib

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


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_alpha_and_16_bit_are_refused(tmp_path, mode):
    Image.new(mode, (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"not 8-bit colour"):
        read_image(tmp_path / "a.png")


def test_other_formats_are_refused(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    with pytest.raises(UserError, match="not an image of"):
        read_image(tmp_path / "a.gif")


def test_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png: no such image"):
        read_image(tmp_path / "nothing.png")
