"""Safetensors files with a checksum over every byte of them, names and metadata included.

The format itself guards only the header's syntax and the file's length. One SHA-256 stands among
the facts in the metadata. It is that of the whole file with zeros in the checksum's own place, so
that any program reads the file as before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dfpg.core.files import atomic_write

KEY = "dfpg"  # of the metadata: several keys would be written in arbitrary order
CHECKSUM = "sha256"
BLANK = "0" * 64
HALF_ERROR = 1e-3  # of a tensor's norm: two units in the last place of float16
LENGTH_BYTES = 8  # before the header, its length, little-endian
MAX_HEADER = 100_000_000  # bytes; the format's own limit

Facts = dict[str, Any]


class DamagedError(ValueError):
    """The file is not what was written."""


def write_checked(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts atomically; equal content gives equal bytes.

    Args:
        path: file to write.
        tensors: by name, of any device and layout.
        facts: JSON values; their order is kept.

    Raises:
        UserError: the disk is full or refuses; an earlier file is as it was.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = save(plain, metadata={KEY: json.dumps({**facts, CHECKSUM: BLANK})})
    end = LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")
    blank, body = data[:end], memoryview(data)[end:]
    digest = hashlib.sha256(blank)
    digest.update(body)
    with atomic_write(path) as stream:
        stream.write(_replace_checksum(blank, BLANK, digest.hexdigest()))
        stream.write(body)


def to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as they are stored where size matters: float32 in half precision.

    A tensor that would lose more than ``HALF_ERROR`` of its norm, because its values are too large
    or too small for float16, stays as it is, and so do integers.
    """
    return {
        name: value.half() if value.dtype == torch.float32 and _fits_half(value.detach()) else value
        for name, value in tensors.items()
    }


def _fits_half(value: Tensor) -> bool:
    return bool((value.half().float() - value).norm() <= HALF_ERROR * value.norm())


def read_facts(path: Path) -> tuple[Facts, bool]:
    """The facts of a file, and whether its checksum says that all of it is as it was written.

    False: there is no checksum, as in files of earlier versions and of other programs. A flipped
    bit does not turn a file with one into a file without: the facts keep an entry of another name,
    or the header is none any more.

    Raises:
        DamagedError: the checksum differs, or this is no such file.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        length = int.from_bytes(start, "little")
        if len(start) < LENGTH_BYTES or length > MAX_HEADER:
            raise DamagedError("no header")
        header = file.read(length)
        try:
            entries = json.loads(header)
            if "__metadata__" not in entries:
                return {}, False
            facts = json.loads(entries["__metadata__"][KEY])
            checksum = facts.pop(CHECKSUM, None)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamagedError("no facts in its header") from error
        if checksum is None:
            return facts, False
        digest = hashlib.sha256(start + _replace_checksum(header, str(checksum), BLANK))
        hashlib.file_digest(file, lambda: digest)
    if digest.hexdigest() != checksum:
        raise DamagedError("checksum differs")
    return facts, True


def read_checked(path: Path) -> tuple[dict[str, Tensor], Facts]:
    """Tensors, on the CPU, and facts of a file that :func:`write_checked` wrote; verified.

    Raises:
        DamagedError: the checksum differs or is missing, or this is no such file.
        OSError: it cannot be read.
    """
    facts, checked = read_facts(path)
    if not checked:
        raise DamagedError("no checksum")
    return read_tensors(path), facts


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, on the CPU; see :func:`read_facts` for the check.

    Raises:
        DamagedError: no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DamagedError(str(error)) from error


def _replace_checksum(header: bytes, old: str, new: str) -> bytes:
    """The header with another checksum in its place, which is the facts' last entry."""
    before, found, after = header.rpartition(old.encode())
    if not found or len(old) != len(new):
        raise DamagedError("checksum differs")
    return before + new.encode() + after
