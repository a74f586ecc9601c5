"""A test set's pictures in one file: a stored ZIP of PNG pictures, ``00000.png`` first.

The bytes are the same on every run with one build of Pillow. Another build's deflate may give other
bytes of the same pixels.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from dfpg.core.config import MAX_SIDE
from dfpg.core.errors import UserError, file_error, lacks_memory
from dfpg.core.files import atomic_write

REMEDY = "delete the folder and run `dvc repro testsets` to make it again"
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that ZIP has
LOCAL_HEADER = 30  # bytes before a member's name
UNIX, READABLE = 3, 0o100644 << 16  # a member's system and permissions
# What deflate makes of a byte at most, https://zlib.net/zlib_tech.html.
MAX_EXPANSION = 1032


@contextmanager
def write_shard(path: Path) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Open a shard for writing: a function that appends RGB pictures uint8 [n, H, W, 3].

    Args:
        path: the file; it is replaced once all pictures are written.

    Raises:
        UserError: the file system refuses the write.
    """
    numbers = count()
    with atomic_write(path) as stream, ZipFile(stream, "w", ZIP_STORED) as archive:

        def append(pictures: NDArray[np.uint8]) -> None:
            for picture in pictures:
                png = BytesIO()
                Image.fromarray(picture).save(png, format="PNG")
                member = ZipInfo(_name(next(numbers)), DATE)
                member.create_system, member.external_attr = UNIX, READABLE
                archive.writestr(member, png.getvalue())

        yield append


def read_shard(path: Path) -> NDArray[np.uint8]:
    """Every picture of a shard in memory, RGB uint8 [N, H, W, 3], N at least 1.

    Memory for the pictures is taken only where the file is large enough to hold them.

    Raises:
        UserError: missing, unreadable, or not as :func:`write_shard` writes it.
    """
    try:
        with ZipFile(path) as archive:
            return _decode(archive, path.stat().st_size)
    # zipfile and PIL raise whatever a damaged file leads them to: struct.error, SyntaxError, more.
    except Exception as error:
        if lacks_memory(error):
            raise
        # A damaged ZIP makes zipfile seek to before its start, which is an invalid argument.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise file_error(path, "read", error) from error
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: damaged ({reason}): {REMEDY}") from error


def _decode(archive: ZipFile, size: int) -> NDArray[np.uint8]:
    """Pictures uint8 [N, H, W, 3] of an archive of ``size`` bytes.

    Raises:
        ValueError: it is not as :func:`write_shard` writes it.
        Exception: what zipfile and PIL raise of damaged bytes.
    """
    members = archive.infolist()
    if not members or any(member.filename != _name(n) for n, member in enumerate(members)):
        raise ValueError("its members are not 00000.png, 00001.png and so on")
    # One behind the other, nothing between them: no entry is lost, none shares another's bytes.
    place = 0
    for member in members:
        stored = member.compress_type == ZIP_STORED and member.compress_size == member.file_size
        if not stored or member.header_offset != place:
            raise ValueError(f"{member.filename} is not stored as it is, behind the one before")
        place += LOCAL_HEADER + len(member.filename) + member.file_size
    if place != archive.start_dir:
        raise ValueError("its members and its list of them disagree")
    start = archive.read(members[0])[:24]
    width, height = (int.from_bytes(start[at : at + 4]) for at in (16, 20))
    if not 0 < min(width, height) <= max(width, height) <= MAX_SIDE:
        raise ValueError(f"{members[0].filename} is no PNG of at most {MAX_SIDE} px a side")
    if len(members) * height * width * 3 > MAX_EXPANSION * size:
        raise ValueError(
            f"{len(members)} pictures of {width}x{height} px are more than it can hold"
        )
    header = _header(width, height)
    pictures = np.empty((len(members), height, width, 3), np.uint8)
    for picture, member in zip(pictures, members, strict=True):
        data = archive.read(member)
        if not data.startswith(header):
            raise ValueError(f"{member.filename} is no 8-bit RGB PNG of {width}x{height} px")
        with PngImageFile(BytesIO(data)) as image:
            picture[:] = np.asarray(image)
    return pictures


def _name(number: int) -> str:
    return f"{number:05d}.png"


def _header(width: int, height: int) -> bytes:
    """The first bytes of an RGB PNG with 8 bits a channel and without interlacing."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(
        ">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0
    )
