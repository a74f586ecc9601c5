from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dfpg.core.errors import UserError, error_line, escape_text, within_memory

PETABYTE = 10**15


def by_numpy() -> None:
    np.empty(PETABYTE, np.uint8)


def by_torch() -> None:
    torch.empty(PETABYTE, dtype=torch.uint8)


def by_opencv() -> None:
    cv2.resize(np.zeros((2, 2), np.float32), (10**8, 10**6))


def by_python() -> None:
    bytearray(PETABYTE)


@pytest.mark.parametrize("ask", [by_numpy, by_torch, by_opencv, by_python])
def test_an_allocation_that_fails_names_the_parameter(ask):
    with pytest.raises(
        UserError, match=r"^not enough memory.*lower training\.batch_size"
    ) as caught:
        within_memory("training.batch_size")(ask)()
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("ask", [by_numpy, by_torch, by_opencv])
def test_how_much_was_asked_for_is_said(ask):
    with pytest.raises(UserError, match=r"not enough memory, [\d.]+ ?(GiB|TiB|PiB|bytes) asked"):
        within_memory("x")(ask)()


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("x"), UserError("y")])
def test_other_faults_stay_what_they_are(error):
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        within_memory("x")(fail)()
    assert caught.value is error


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "free space"),
        (errno.EACCES, "permissions"),
        (errno.EPERM, "permissions"),
        (errno.EROFS, "name another place"),
        (errno.ENOTDIR, "a file is where a folder should be"),
        (errno.EIO, "look at the disk"),
    ],
)
def test_a_system_error_is_one_line_with_its_own_advice(number, said):
    line = error_line(OSError(number, os.strerror(number), "some/file"))
    assert line is not None
    assert line.startswith(f"some/file: {os.strerror(number)}: ")
    assert said in line
    assert ("free space" in line) == (number == errno.ENOSPC)


def test_a_name_that_is_no_utf8_and_an_error_without_one_are_lines():
    assert error_line(PermissionError(errno.EACCES, "denied", b"a\xff"))
    assert "input or output" in str(error_line(OSError(errno.ENOSPC, "full")))
    assert error_line(OSError("no number")) is not None


def test_the_programs_own_faults_have_no_line():
    assert error_line(KeyError("x")) is None
    assert error_line(RuntimeError("x")) is None


def test_a_real_refusal_names_its_file(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "file" / "x").read_text()
    assert str(error_line(caught.value)).startswith(f"{tmp_path / 'file' / 'x'}: ")


def test_names_in_messages_cannot_act_on_a_terminal():
    name = "a\x1b[2K\r\n\u202egnp.\udcff"
    shown = r"a\x1b[2K\r\n\u202egnp.\xff"
    assert escape_text(name) == shown
    assert str(UserError(f"{name}: no such image")) == f"{shown}: no such image"
    assert str(error_line(OSError(errno.ENOENT, "gone", name))).startswith(f"{shown}: gone")
    assert escape_text("Zürich 東京 \\ '") == "Zürich 東京 \\ '"


def test_a_library_that_the_system_lacks_is_named_with_both_remedies():
    said = "libGL.so.1: cannot open shared object file: No such file or directory"
    line = str(error_line(ImportError(said)))
    assert line.startswith("libGL.so.1: missing on this system")
    assert "libgl1" in line
    assert "opencv-python-headless" in line
    assert error_line(ImportError("cannot import name 'x'")) is None
