"""Files that are whole or absent: atomic writes, hashes, images from an allow-list."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dfpg.core.errors import UserError, advice

IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
MAX_PIXELS = 64_000_000
FOLDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")  # of a record or a submission


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path``; on success it replaces ``path`` in one step.

    The data and the folder entry are synced, so that after a crash or a full disk ``path`` holds
    either its old bytes or all of the new ones.

    Raises:
        UserError: the file system refuses the write (full, read-only, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror}); {advice(error)}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise UserError(
            f"{path}: cannot write ({error.strerror}); the file is as it was before: "
            f"{advice(error)}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


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
        raise UserError(f"{target}: cannot write ({error.strerror}); {advice(error)}") from error
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


def in_home(path: Path) -> Path:
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
    """Open an image; whatever fails while it is decoded inside the block becomes one line.

    Raises:
        UserError: missing, not one of ``IMAGE_FORMATS``, over ``MAX_PIXELS``, or damaged.
    """
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {image.width}x{image.height} is over the limit of "
                    f"{MAX_PIXELS // 1_000_000} million pixels: make it smaller"
                )
            yield image
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such image") from error
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not an image of {', '.join(IMAGE_FORMATS)}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: damaged image ({error}): replace the file") from error


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit colour image, RGB uint8 [H, W, 3].

    Raises:
        UserError: as :func:`open_image`, or with an alpha channel or more than 8 bits per channel.
    """
    with open_image(path) as image:
        if image.mode not in ("RGB", "L", "P", "CMYK", "YCbCr"):
            raise UserError(
                f"{path}: mode {image.mode} is not 8-bit colour: convert it to 8-bit RGB"
            )
        return np.asarray(image.convert("RGB"))


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an RGB uint8 [H, W, 3] image as PNG, atomically."""
    with atomic_write(path) as stream:
        Image.fromarray(image).save(stream, format="PNG")
