"""Published weights: read into a run's method instead of training it.

A method's ``load_official`` reads the file with one of the readers below, which execute nothing of
it, and fills its generator with :func:`match_state`: rules turn each of our tensors' names into the
authors' name, so that a file has to hold exactly these tensors.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from dfpg.core.errors import UserError, file_error
from dfpg.core.files import sha256
from dfpg.methods.base import Method

# Where training codes put a network's state inside a file; the first one that is there is taken.
WRAPPERS = ("params_ema", "params", "state_dict")
PREFIX = "module."  # of all names where the network was trained on several GPUs
CONVOLUTION = (3, 2, 0, 1)  # axes [k, k, in, out] of TensorFlow and MATLAB, in PyTorch's order

Rule = tuple[str, str | Callable[[re.Match[str]], str]]  # regular expression and replacement
Named = dict[str, Tensor]

# Our residual block's names -> those in the code of DFPGnet's laboratory.
RES_BLOCK: tuple[Rule, ...] = (
    (r"\.body\.(\d)\.", r".blocks.\1."),
    (r"\.attention\.squeeze\.", ".blocks.3.channel_attention.0."),
    (r"\.attention\.excite\.", ".blocks.3.channel_attention.2."),
)


def load_published(method: Method, path: Path) -> str:
    """Load published weights with the method's ``load_official``; returns their :func:`digest`.

    Raises:
        UserError: unreadable, or refused by the method.
    """
    try:
        method.load_official(path)
        return digest(path)
    except OSError as error:
        raise file_error(path, "read", error) from error


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, what ``sha256sum * | sha256sum`` prints inside it."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    lines = "".join(f"{sha256(file)}  {file.name}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def read_torch(path: Path, accepted: str) -> Mapping[str, Any]:
    """What ``torch.save`` wrote: tensors in plain containers; anything else is refused, not run.

    Args:
        path: the file.
        accepted: what the method reads, for the messages.

    Raises:
        UserError: missing, damaged, not such a file, or no mapping.
    """
    _check_file(path, accepted)
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser of foreign bytes may fail in any way
        raise _damage_error(path, "PyTorch weights", error, accepted) from error
    if not isinstance(raw, Mapping):
        raise UserError(
            f"{path}: found a {type(raw).__name__}, expected named tensors; accepted: {accepted}"
        )
    return raw


def read_state(path: Path, accepted: str) -> Named:
    """A network's state in a PyTorch file, plain or under one of ``WRAPPERS``.

    Raises:
        UserError: as :func:`read_torch`, or the state holds something else than tensors.
    """
    raw = read_torch(path, accepted)
    wrapper = next((key for key in WRAPPERS if isinstance(raw.get(key), Mapping)), None)
    return named_tensors(path, raw if wrapper is None else raw[wrapper], accepted)


def named_tensors(path: Path, state: Mapping[str, Any], accepted: str) -> Named:
    """Check that a mapping holds tensors only, and take ``PREFIX`` off where all names have it.

    Raises:
        UserError: a value is no tensor.
    """
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise UserError(
                f"{path}: {name} is no tensor ({type(value).__name__}); accepted: {accepted}"
            )
    prefixed = all(str(name).startswith(PREFIX) for name in state)
    return {str(n).removeprefix(PREFIX if prefixed else ""): v for n, v in state.items()}


def read_arrays(path: Path, accepted: str) -> Named:
    """The arrays of a NumPy archive (``.npz``); pickled objects inside are refused, not run.

    Raises:
        UserError: missing, damaged, no such archive, or it holds something else than numbers.
    """
    _check_file(path, accepted)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(np.array(archive[name])) for name in archive.files}
    except (OSError, ValueError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise _damage_error(path, "NumPy archive of numbers", error, accepted) from error


def read_structs(path: Path, variable: str, accepted: str) -> list[Named]:
    """A struct array of a MATLAB file (``.mat`` up to version 7): each struct's non-empty fields.

    Raises:
        UserError: missing, damaged, another version, or ``variable`` is no array of such structs.
    """
    from scipy.io import loadmat

    _check_file(path, accepted)
    try:
        content = loadmat(path, variable_names=[variable])
    except NotImplementedError as error:
        raise UserError(
            f"{path}: MATLAB's format 7.3 is not read: save the file again in MATLAB with '-v7'"
        ) from error
    except Exception as error:  # a parser of foreign bytes may fail in any way
        raise _damage_error(path, "MATLAB file", error, accepted) from error
    structs = content.get(variable)
    if structs is None or structs.dtype.names is None:
        raise UserError(f"{path}: no struct array {variable}; accepted: {accepted}")
    fields = [
        {name: np.asarray(struct[name]) for name in structs.dtype.names}
        for struct in structs.ravel()
    ]
    for number, struct in enumerate(fields, start=1):
        for name, value in struct.items():
            if value.dtype.kind not in "fiu":
                raise UserError(
                    f"{path}: {variable}({number}).{name} holds no numbers; accepted: {accepted}"
                )
    return [
        {n: torch.from_numpy(v.astype(np.float32)) for n, v in struct.items() if v.size}
        for struct in fields
    ]


def rename_tensor(name: str, rules: Sequence[Rule]) -> str:
    """``name`` after every rule in turn."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def count_numbers(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbers the group of ``pattern`` takes at the beginning of a file's names."""
    return len({found[1] for name in state if (found := re.match(pattern, name))})


def axis_length(
    path: Path, state: Mapping[str, Tensor], name: str, axis: int, accepted: str
) -> int:
    """Length of one axis of a tensor that a file must hold.

    Raises:
        UserError: there is no such tensor or axis.
    """
    if name not in state:
        raise UserError(f"{path}: no {name}; accepted: {accepted}")
    shape = list(state[name].shape)
    if axis >= len(shape) or not shape[axis]:
        raise UserError(f"{path}: {name} is {shape}: another layout; accepted: {accepted}")
    return shape[axis]


def check_options(path: Path, method: Method, **needed: object) -> None:
    """Refuse options that a file's tensors do not show but its authors' code has.

    Raises:
        UserError: an option of the method has another value.
    """
    for option, value in needed.items():
        own = getattr(method.options, option)
        if own != value:
            raise UserError(
                f"{path}: these weights need methods.{method.name}.{option}: {value}, not {own}"
            )


def match_state(
    path: Path,
    network: nn.Module,
    state: Mapping[str, Tensor],
    rules: Sequence[Rule],
    accepted: str,
    *,
    axes: Callable[[str], Sequence[int] | None] = lambda _: None,
    ignored: str | None = None,
    own: Collection[str] = (),
) -> Named:
    """The state of ``network``, from a file's tensors under their authors' names.

    Axes of length 1 in front or at the end may differ: they change no value's place.

    Args:
        path: the file, for messages.
        network: that will be filled with :meth:`torch.nn.Module.load_state_dict`.
        state: tensors by their authors' names.
        rules: make the authors' name of ours (:func:`rename_tensor`).
        accepted: what the method reads, for messages.
        axes: by the authors' name, the permutation of axes that turns a tensor into ours.
        ignored: regular expression of names that restoring does not need.
        own: our tensors that no file has; they stay as they are.

    Raises:
        UserError: a tensor is missing, has another shape, or is not finite; or the file has one
            that the network lacks. The first difference is named.
    """
    advice = f"with these options (`dfpg weights check` says which fit); accepted: {accepted}"
    found: Named = {}
    used = set()
    for ours, expected in network.state_dict().items():
        theirs = rename_tensor(ours, rules)
        counter = ours.endswith("num_batches_tracked")  # files of PyTorch before 0.4.1 have none
        if ours in own or (counter and theirs not in state):
            found[ours] = expected
            continue
        order = axes(theirs) or range(expected.ndim)
        wanted = [expected.shape[list(order).index(axis)] for axis in range(expected.ndim)]
        if theirs not in state:
            raise UserError(f"{path}: no {theirs}, wanted {wanted} {advice}")
        value = state[theirs]
        if _core_shape(value.shape) != _core_shape(wanted):
            raise UserError(f"{path}: {theirs} is {list(value.shape)}, wanted {wanted} {advice}")
        if not math.isfinite(float(value.double().abs().sum())):
            raise UserError(f"{path}: {theirs} holds NaN or infinity: replace the file")
        found[ours] = value.reshape(wanted).permute(list(order)).to(expected.dtype)
        used.add(theirs)
    for name, value in state.items():
        if name not in used and not (ignored and re.match(ignored, name)):
            raise UserError(f"{path}: {name} {list(value.shape)} is unexpected {advice}")
    return found


def load_one_file(
    method: Method, path: Path, rules: Sequence[Rule], accepted: str, **needed: object
) -> None:
    """Fill a method's generator from a PyTorch file with its authors' names.

    Args:
        method: to fill.
        path: of the file.
        rules: see :func:`match_state`, as ``accepted``.
        accepted: what the method reads, for messages.
        needed: options that the authors' code has and the file does not show.

    Raises:
        UserError: missing, damaged, another layout, or of other options.
    """
    generator, state = method.networks["generator"], read_state(path, accepted)
    check_options(path, method, **needed)
    generator.load_state_dict(match_state(path, generator, state, rules, accepted))


def _core_shape(shape: Sequence[int]) -> list[int]:
    """Lengths of the axes between the first and the last one longer than 1."""
    long = [axis for axis, length in enumerate(shape) if length != 1]
    return list(shape[long[0] : long[-1] + 1]) if long else []


def _check_file(path: Path, accepted: str) -> None:
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {problem}; accepted: {accepted}")
    try:
        path.open("rb").close()
    except OSError as error:
        raise file_error(path, "read", error) from error


def _damage_error(path: Path, kind: str, error: Exception, accepted: str) -> UserError:
    reason = str(error).rpartition("WeightsUnpickler error:")[2]  # PyTorch's, between its advice
    reason = reason.partition("Check the documentation")[0]
    words = " ".join(reason.split())[:80] or type(error).__name__
    return UserError(f"{path}: damaged, or no {kind} ({words}); accepted: {accepted}")
