"""Files that are whole or absent: atomic writes, hashes, images from an allow-list."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dfpg.core.errors import UserError, file_error, lacks_memory

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 64_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
MODES = ("L", "LA", "P", "PA", "RGB", "RGBA", "YCbCr")  # grey or RGB, 8 bits per channel
FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # of a record or a submission
# What file systems answer that have no fsync for folders, or grant none.
NO_SYNC = frozenset(
    {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM}
)
NAME_BYTES = 200  # of a temporary file's name; file systems allow 255


@contextmanager
def atomic_write(path: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``; on success it replaces ``path`` in one step.

    The data and the folder entry are synced where the file system can, so that after a crash or a
    full disk ``path`` holds either its old bytes or all of the new ones.

    Args:
        path: the file.
        mode: its permissions; those that the umask takes away are not given.

    Raises:
        UserError: the file system refuses the write (full, read-only, no permission).
    """
    temporary = path.parent / f".{_shorten_name(path.name)}.{secrets.token_hex(4)}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise file_error(path, "write", error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            _sync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise file_error(path, "write", error, "the file is as it was before") from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path)


def _shorten_name(name: str) -> str:
    """The start of a name, so that what is put to it fits into a file name."""
    return os.fsdecode(os.fsencode(name)[:NAME_BYTES])


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _sync_folder(path: Path) -> None:
    """Sync the folder entry of a file that has replaced another one already.

    Raises:
        UserError: the disk fails. The file is the new one all the same.
    """
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise UserError(
                f"{path}: written, but its folder cannot be synced ({error.strerror}): check the "
                "disk, then run again"
            ) from error


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A hidden folder to fill, not made yet; on success it replaces ``target`` as a whole.

    Raises:
        UserError: the file system refuses the folder.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise file_error(target, "write", error) from error
    with folder as name:
        new = Path(name) / "new"
        yield new
        if target.exists():
            target.rename(Path(name) / "old")
        new.rename(target)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with :func:`atomic_write`."""
    with atomic_write(path) as stream:
        stream.write(text.encode())


def expand_home(path: Path) -> Path:
    """The path with ``~`` as the user's home; as it is for a user without one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def sha256(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, no UTF-8, or nested more deeply than any file of this suite.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an 8-bit image; whatever fails while it is decoded inside the block becomes one line.

    The image is as it is stored: not decoded yet, and not turned upright.

    Raises:
        UserError: missing, not one of ``IMAGE_FORMATS``, over ``MAX_PIXELS``, damaged; several
            pictures in one file; more than 8 bits per channel; or colours that are neither grey
            nor RGB.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            _check(image, path)
            yield image
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image") from error
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(
            f"{path}: not an image of {', '.join(IMAGE_FORMATS)}: convert it to one of them"
        ) from error
    # PIL's decoders raise whatever a damaged file leads them to: struct.error, TypeError and more.
    except Exception as error:
        if lacks_memory(error):
            raise
        if isinstance(error, OSError) and error.strerror:
            raise file_error(path, "read", error) from error
        raise UserError(f"{path}: damaged image ({error}): replace the file") from error


def _check(image: Image.Image, path: Path) -> None:
    """Refuse what would be read as something else than it is, before it is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise UserError(
            f"{path}: {image.width}x{image.height} is over the limit of "
            f"{MAX_PIXELS // 1_000_000} million pixels: make it smaller"
        )
    # Phones put a second picture (depth, gain) behind the first of a JPEG: format MPO.
    count = getattr(image, "n_frames", 1)
    if count > 1 and image.format != "MPO":
        raise UserError(f"{path}: {count} pictures in one file: save each on its own")
    # PIL would drop the lower bits of 16-bit colours without a word.
    wide = any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    if wide or image.mode.startswith(("I", "F")):
        raise UserError(f"{path}: more than 8 bits per channel: save it with 8")
    if image.mode not in MODES:
        raise UserError(f"{path}: mode {image.mode}, neither grey nor RGB: convert it")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit image, upright as its EXIF orientation says, RGB uint8 [H, W, 3].

    Raises:
        UserError: as :func:`open_image`, or with transparency.
    """
    with open_image(path) as image:
        if image.has_transparency_data:
            raise UserError(f"{path}: has transparency: save it without an alpha channel")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def write_image(path: Path, image: NDArray[np.uint8], mode: int = 0o666) -> None:
    """Write an RGB uint8 [H, W, 3] image as PNG, atomically; ``mode`` as :func:`atomic_write`."""
    with atomic_write(path, mode) as stream:
        Image.fromarray(image).save(stream, format="PNG")
