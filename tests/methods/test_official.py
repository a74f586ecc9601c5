from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from dfpg.core.errors import UserError
from dfpg.methods.base import Method
from dfpg.methods.names import method_names
from dfpg.methods.official import digest, load_published
from dfpg.methods.registry import method_class
from dfpg.methods.weights import load_weights, read_card, save_weights


def test_digest_of_a_folder_is_what_sha256sum_prints(tmp_path: Path) -> None:
    for name in ("b.pkl", "a.pkl", "B.txt", ".hidden"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder").mkdir()
    command = "LC_ALL=C; sha256sum *.pkl *.txt | LC_ALL=C sort -k 2 | sha256sum"
    printed = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert digest(tmp_path) == printed.stdout.split()[0]
    one = subprocess.run(["sha256sum", tmp_path / "a.pkl"], capture_output=True, text=True)
    assert digest(tmp_path / "a.pkl") == one.stdout.split()[0]


def test_a_method_without_published_weights_refuses_in_one_line(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with pytest.raises(UserError, match=r"net.pth: dfpgnet reads no published weights") as error:
        load_published(make(), path)
    assert "\n" not in str(error.value)


def test_only_three_methods_know_of_published_weights() -> None:
    unread = Method.load_official
    own = {n for n in method_names() if method_class(n).load_official is not unread}
    assert own == {"li2020", "wang2021", "zhang2019"}


def test_a_file_that_cannot_be_read_is_one_line(make: Any, tmp_path: Path) -> None:
    method = make()
    method.load_official = lambda path: path.read_bytes()
    with pytest.raises(UserError, match=r"net.pth: cannot read \(No such file"):
        load_published(method, tmp_path / "net.pth")


def test_the_card_says_where_weights_come_from(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, make(), steps=0, official="ab" * 32)
    assert load_weights(path, make()).official == "ab" * 32
    save_weights(path, make(), steps=3)
    assert read_card(path).official is None
