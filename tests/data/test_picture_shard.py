from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.data.picture_shard import read_shard, write_shard

FUZZ = 200
SIDE = 8
MEMORY = 32 << 20  # bytes; a refusal takes less


def pictures(count: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def shard(path: Path, count: int = 4) -> bytes:
    with write_shard(path) as append:
        append(pictures(count))
    return path.read_bytes()


def png(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(width: int, height: int, data: bytes) -> bytes:
    """A PNG that declares a size, whatever its data hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def archive(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, data in members:
            made.writestr(name, data)
    return stream.getvalue()


def named(*members: bytes) -> bytes:
    return archive([(f"{number:05d}.png", data) for number, data in enumerate(members)])


def change_entries(content: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a field of every entry of the central directory."""
    changed, place = bytearray(content), content.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + offset : place + offset + len(value)] = value
        place = content.find(b"PK\x01\x02", place + 1)
    return bytes(changed)


def hide_last(content: bytes) -> bytes:
    """The last entry of the central directory as a comment of the one before."""
    first, last = (content.index(b"PK\x01\x02"), content.rindex(b"PK\x01\x02"))
    size = content.index(b"PK\x05\x06") - last
    return content[: first + 32] + struct.pack("<H", size) + content[first + 34 :]


def shared_bytes() -> bytes:
    """Entries that all name the bytes of one black picture: gigabytes, if there were enough."""
    one = archive([("00000.png", png(np.zeros((128, 128, 3), np.uint8)))])
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entry, count = one[start:end], 200
    entries = b"".join(entry.replace(b"00000.png", b"%05d.png" % n) for n in range(count))
    tail = struct.pack("<4s4HIIH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return one[:start] + entries + tail


def test_what_is_read_is_what_was_appended(tmp_path):
    expected = pictures(7, 10, 6)
    with write_shard(tmp_path / "a.zip") as append:
        append(expected[:3])
        append(expected[3:])
    found = read_shard(tmp_path / "a.zip")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_other_programs_read_it_in_order(tmp_path):
    shard(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as made:
        assert made.namelist() == ["00000.png", "00001.png", "00002.png", "00003.png"]
        assert {member.compress_type for member in made.infolist()} == {zipfile.ZIP_STORED}
        for number, name in enumerate(made.namelist()):
            with Image.open(made.open(name)) as image:
                np.testing.assert_array_equal(np.asarray(image), pictures(4)[number])
                assert image.info == {}


def test_same_bytes_at_another_time_and_in_other_chunks(tmp_path, monkeypatch):
    once = shard(tmp_path / "a.zip")
    monkeypatch.setattr("time.time", lambda: 2e9)
    with write_shard(tmp_path / "b.zip") as append:
        for picture in pictures(4):
            append(picture[None])
    assert (tmp_path / "b.zip").read_bytes() == once


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    once = shard(tmp_path / "a.zip")

    def fail() -> None:
        with write_shard(tmp_path / "a.zip") as append:
            append(pictures(2))
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"a\.zip: cannot write \(No space left"):
        fail()
    assert (tmp_path / "a.zip").read_bytes() == once
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


GOOD = png(pictures(1)[0])
DAMAGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "no bytes": (lambda: b"", "not a zip file"),
    "truncated": (lambda: named(GOOD, GOOD)[:-40], "not a zip file"),
    "empty archive": (named, r"not 00000\.png, 00001\.png and so on"),
    "encrypted": (lambda: change_entries(named(GOOD), 8, b"\x01\x00"), "encrypted"),
    "compressed bomb": (
        lambda: archive([("00000.png", raw_png(1024, 1024, bytes(1 << 20)))], zipfile.ZIP_DEFLATED),
        "not stored as it is",
    ),
    "gigabytes declared": (
        lambda: change_entries(named(GOOD), 20, b"\xff\xff\xff\x7f" * 2),
        "members and its list",
    ),
    "entries that share bytes": (shared_bytes, r"00001\.png is not stored as it is, behind"),
    "name missing": (lambda: archive([("00000.png", GOOD), ("00002.png", GOOD)]), "not 00000"),
    "name twice": (lambda: named(GOOD, GOOD).replace(b"00001", b"00000"), "not 00000"),
    "out of order": (lambda: archive([("00001.png", GOOD), ("00000.png", GOOD)]), "not 00000"),
    "entry hidden in a comment": (lambda: hide_last(named(GOOD, GOOD)), "members and its list"),
    "bytes before it": (lambda: b"a" + named(GOOD), "behind the one before"),
    "another file": (lambda: archive([("00000.png", GOOD), ("a.txt", b"a")]), "not 00000"),
    "first no PNG": (lambda: named(b"no picture", GOOD), r"00000\.png is no PNG"),
    "second no PNG": (lambda: named(GOOD, b"no picture"), r"00001\.png is no 8-bit RGB PNG of 8x8"),
    "truncated PNG": (lambda: named(GOOD, GOOD[:-60]), "truncated"),
    "other size": (lambda: named(GOOD, png(pictures(1, 8, 9)[0])), r"00001\.png is no .* of 8x8"),
    "grey": (lambda: named(png(pictures(1)[0, :, :, 0])), r"00000\.png is no 8-bit RGB"),
    "transparency": (lambda: named(png(np.zeros((8, 8, 4), np.uint8))), r"00000\.png is no 8-bit"),
    "16 bits": (lambda: named(GOOD[:24] + b"\x10" + GOOD[25:]), r"00000\.png is no 8-bit RGB"),
    "no pixels": (lambda: named(raw_png(0, 8, b"")), r"00000\.png is no PNG of at most 1024"),
    "huge size declared": (
        lambda: named(raw_png(2**31 - 1, 2**31 - 1, zlib.compress(b""))),
        r"00000\.png is no PNG of at most 1024 px a side",
    ),
    "more pixels than fit": (
        lambda: named(*[raw_png(1024, 1024, zlib.compress(b""))] * 100),
        "100 pictures of 1024x1024 px are more than it can hold",
    ),
    "data that end early": (
        lambda: named(raw_png(1024, 1024, zlib.compress(bytes(3 << 20)))),
        "truncated",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_is_no_shard_is_one_line(tmp_path, name):
    make, reason = DAMAGES[name]
    (tmp_path / "blurred.zip").write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=reason) as error:
            read_shard(tmp_path / "blurred.zip")
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    line = str(error.value)
    assert line.startswith(f"{tmp_path / 'blurred.zip'}: damaged (")
    assert line.endswith("): delete the folder and run `dvc repro testsets` to make it again")
    assert line.isprintable()


def test_a_disk_that_fails_is_not_called_damage(tmp_path, monkeypatch):
    shard(tmp_path / "a.zip")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with pytest.raises(UserError, match=r"a\.zip: cannot read \(Input/output error\); look at"):
        read_shard(tmp_path / "a.zip")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """One of: some bytes replaced, the end cut off, a piece put elsewhere."""
    changed = bytearray(content)
    kind, one, two = rng.integers(3), *sorted(rng.integers(0, len(content), 2))
    if kind == 0:
        for place in rng.integers(0, len(content), rng.integers(1, 5)):
            changed[place] = rng.integers(256)
    elif kind == 1:
        del changed[one:]
    else:
        piece = bytes(changed[one : min(two, one + 64)])
        place = rng.integers(len(content))
        changed[place : place + rng.choice([0, len(piece)])] = piece
    return bytes(changed)


def damaged_picture(content: bytes, rng: np.random.Generator) -> bytes:
    """A ZIP that is whole, with a damaged PNG between whole ones."""
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        members = [whole.read(name) for name in whole.namelist()]
    return named(*members[:2], damaged(members[2], rng), *members[3:])


@pytest.mark.parametrize("damage", [damaged, damaged_picture])
def test_random_damage_is_one_line_or_as_many_pictures(tmp_path, damage):
    whole = shard(tmp_path / "a.zip")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(FUZZ):
        (tmp_path / "a.zip").write_bytes(damage(whole, rng))
        try:
            assert read_shard(tmp_path / "a.zip").shape == (4, SIDE, SIDE, 3)
        except UserError:
            refused += 1
    assert refused > FUZZ / 2
