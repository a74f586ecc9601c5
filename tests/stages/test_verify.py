from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.places import ROOT

from dfpg.core.errors import UserError
from dfpg.stages.verify import list_files, manifest_text, read_manifest, verify_data


@pytest.fixture
def data(tmp_path) -> Path:
    shutil.copytree(ROOT / "data", tmp_path / "data")
    return tmp_path / "data"


def test_committed_data_is_the_pinned_data(data):
    assert verify_data(data) == len(read_manifest())
    assert {name for name in read_manifest() if name.endswith(".jpg")} == {
        f"faces/{path.name}" for path in (data / "faces").iterdir()
    }


def test_a_changed_byte_is_named_with_what_to_do(data):
    path = data / "faces" / "p00000_0.jpg"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"p00000_0\.jpg: changed .*git checkout"):
        verify_data(data)


def test_a_missing_and_a_foreign_file_are_named(data):
    (data / "faces" / "p00000_0.jpg").rename(data / "faces" / "someone.jpg")
    with pytest.raises(UserError, match=r"p00000_0\.jpg: missing"):
        verify_data(data)
    shutil.copy(ROOT / "data" / "faces" / "p00000_0.jpg", data / "faces")
    with pytest.raises(UserError, match=r"someone\.jpg: not part of the pinned data"):
        verify_data(data)


def test_manifest_has_the_format_of_sha256sum(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest_text(tmp_path) == f"{digest}  a.txt\n"
    assert list_files(tmp_path) == {"a.txt": digest}


def test_what_systems_leave_in_the_folder_does_not_stop_the_pipeline(data):
    for name in (".DS_Store", "Thumbs.db", "faces/._p00000_0.jpg", "faces/desktop.ini"):
        (data / name).touch()
    assert verify_data(data) == len(read_manifest())


def test_a_clone_that_turns_line_ends_has_the_pinned_bytes(tmp_path):
    """Case 7: `git clone -c core.autocrlf=true`."""
    source = tmp_path / "source"
    source.mkdir()
    names = ["NOTICE.md", "faces.csv", "faces/p00000_0.jpg"]
    for name in names:
        (source / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "data" / name, source / "data" / name)
    shutil.copy(ROOT / ".gitattributes", source)
    shutil.copy(ROOT / "params.yaml", source)
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    clone = ["git", "clone", "-q", "-c", "core.autocrlf=true", str(source), str(tmp_path / "clone")]
    subprocess.run(clone, check=True)
    assert b"\r" not in (tmp_path / "clone" / "params.yaml").read_bytes()
    pinned = read_manifest()
    found = list_files(tmp_path / "clone" / "data")
    assert found == {name: pinned[name] for name in sorted(names)}
