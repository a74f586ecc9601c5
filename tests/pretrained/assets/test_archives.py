from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from dfpg.core.errors import UserError
from dfpg.pretrained.assets.archives import load_numpy_pickle, load_torch_module, read_members


class Evil:
    """Its pickle asks the reader to run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def write_tar(path, entries):
    with tarfile.open(path, "w:gz") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return path


def regular(name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type = tarfile.SYMTYPE
    info.linkname = target
    return info, b""


def old_numpy_pickle(value):
    """As written by NumPy 1, whose module was called numpy.core."""
    return pickle.dumps(value, protocol=3).replace(b"numpy._core.", b"numpy.core.")


def save_legacy(value):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def test_only_named_members_are_read_and_nothing_is_written(tmp_path):
    archive = write_tar(
        tmp_path / "a.tar.gz",
        [regular("../../escape", b"x"), regular("/escape", b"y"), regular("a/w.bin", b"12345")],
    )
    before = sorted(tmp_path.rglob("*"))
    assert read_members(archive, {"a/w.bin": 5}) == {"a/w.bin": b"12345"}
    assert sorted(tmp_path.rglob("*")) == before


def test_wheel_members_are_read(tmp_path):
    archive = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("a/w.bin", b"12345")
        package.writestr("a/__init__.py", b"raise SystemExit")
    assert read_members(archive, {"a/w.bin": 5}) == {"a/w.bin": b"12345"}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([regular("a/w.bin", b"123456")], "not a file of 5 bytes"),
        ([link("a/w.bin", "/etc/passwd")], "not a file of 5 bytes"),
        ([regular("a/other", b"12345")], "missing"),
    ],
    ids=["larger than pinned", "link", "absent"],
)
def test_unexpected_members_are_refused(tmp_path, entries, text):
    archive = write_tar(tmp_path / "a.tar.gz", entries)
    with pytest.raises(UserError, match=text):
        read_members(archive, {"a/w.bin": 5})


def test_truncated_archive_is_one_line(tmp_path):
    data = os.urandom(100_000)
    archive = write_tar(tmp_path / "a.tar.gz", [regular("a/w.bin", data)])
    archive.write_bytes(archive.read_bytes()[:50_000])
    with pytest.raises(UserError, match="damaged archive") as caught:
        read_members(archive, {"a/w.bin": len(data)})
    assert "\n" not in str(caught.value)


def test_numpy_pickle_gives_the_arrays_back():
    tree = {"a": {"kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4)}, "b": np.ones(3)}
    loaded = load_numpy_pickle(old_numpy_pickle(tree))
    np.testing.assert_array_equal(loaded["a"]["kernel"], tree["a"]["kernel"])
    np.testing.assert_array_equal(loaded["b"], tree["b"])


def test_numpy_pickle_that_calls_is_refused_and_does_not_run(tmp_path):
    flag = tmp_path / "ran"
    with pytest.raises(UserError, match="system: refused"):
        load_numpy_pickle(pickle.dumps({"a": Evil(f"touch {flag}")}))
    assert not flag.exists()


@pytest.mark.parametrize(
    "value", [np.array([{}], dtype=object), np.array(["a"]), np.zeros(2, "f4,i4")]
)
def test_numpy_pickle_of_anything_but_plain_numbers_is_refused(value):
    with pytest.raises(UserError, match="refused"):
        load_numpy_pickle(old_numpy_pickle(value))


def test_truncated_numpy_pickle_is_an_error():
    with pytest.raises(UserError):
        load_numpy_pickle(old_numpy_pickle(np.ones(1000))[:-200])


def test_legacy_torch_module_equals_its_state_dict():
    module = nn.DataParallel(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.PReLU(4)))
    )
    loaded = load_torch_module(save_legacy(module))
    state = module.state_dict()
    assert set(loaded) == set(state)
    for name, value in state.items():
        np.testing.assert_array_equal(loaded[name], value.numpy())


def test_foreign_code_in_a_torch_module_does_not_run(tmp_path):
    flag = tmp_path / "ran"
    module = nn.Linear(2, 2)
    module.extra = Evil(f"touch {flag}")
    loaded = load_torch_module(save_legacy(module))
    assert set(loaded) == {"weight", "bias"}
    assert not flag.exists()


def test_tensor_views_are_refused():
    module = nn.Module()
    module.register_buffer("a", torch.arange(6.0).reshape(2, 3).T)
    with pytest.raises(UserError, match="no plain array"):
        load_torch_module(save_legacy(module))


def test_truncated_torch_module_is_an_error():
    data = save_legacy(nn.Linear(100, 100))
    for length in (10, len(data) // 2, len(data) - 1):
        with pytest.raises(UserError):
            load_torch_module(data[:length])
