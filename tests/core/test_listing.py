from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from dfpg.core.errors import UserError
from dfpg.core.listing import list_images, normalise_name


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_images_come_sorted_from_any_depth(tmp_path):
    fill(tmp_path, "b.PNG", "a/z.jpg", "a/b/c.tiff", "c.webp")
    assert list_images(tmp_path).images == ("a/b/c.tiff", "a/z.jpg", "b.PNG", "c.webp")
    flat = list_images(tmp_path, deep=False)
    assert flat.images == ("b.PNG", "c.webp")
    assert flat.folders == ("a",)


def test_what_is_hidden_or_left_by_a_system_is_skipped_and_counted(tmp_path):
    """Case 5. A skipped folder counts once, whatever is in it."""
    fill(
        tmp_path,
        "anna/1.jpg",
        "anna/._1.jpg",
        "anna/.ipynb_checkpoints/1-checkpoint.jpg",
        "anna/.ipynb_checkpoints/2-checkpoint.jpg",
        "anna/@eaDir/1.jpg/SYNOFILE_THUMB_M.jpg",
        "anna/Thumbs.db",
        "desktop.ini",
        ".DS_Store",
        "__MACOSX/anna/._1.jpg",
    )
    found = list_images(tmp_path)
    assert found.images == ("anna/1.jpg",)
    assert found.others == ()
    assert found.folders == ("anna",)
    assert found.skipped == 7
    assert found.describe_skipped() == "skipped: 7 hidden or left by the system"


def test_other_files_are_named_and_many_are_counted_by_their_endings(tmp_path):
    fill(tmp_path, "a.png", "notes.txt", "deep/b.heic")
    assert (
        list_images(tmp_path).describe_skipped() == "other files, not read: deep/b.heic, notes.txt"
    )
    fill(tmp_path, *(f"{number}.txt" for number in range(9)), "README")
    remark = list_images(tmp_path).describe_skipped()
    assert remark == "other files, not read: 1 .heic, 10 .txt, 1 without an ending"
    assert list_images(fill(tmp_path / "pure", "a.png")).describe_skipped() == ""


def test_a_folder_without_images_says_what_there_is(tmp_path):
    fill(tmp_path, "a.gif", ".b.png")
    with pytest.raises(UserError, match=r"no images of PNG, .*: name another \(.*\)") as caught:
        list_images(tmp_path).require_images("name another")
    assert "(other files, not read: a.gif; skipped: 1 hidden" in str(caught.value)


def test_links_are_followed_but_not_in_circles(tmp_path):
    fill(tmp_path / "elsewhere", "1.png")
    folder = fill(tmp_path / "set", "anna/2.png")
    (folder / "berta").symlink_to(tmp_path / "elsewhere")
    (folder / "anna" / "up").symlink_to(folder)
    (folder / "gone.png").symlink_to(tmp_path / "nothing.png")
    found = list_images(folder)
    assert found.images == ("anna/2.png", "berta/1.png")
    assert found.others == ("gone.png",)


def test_a_folder_that_is_not_there_is_one_line_and_not_made(tmp_path):
    with pytest.raises(UserError, match="nothing: no such folder"):
        list_images(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(UserError, match=r"a\.png: cannot list \(Not a directory\)"):
        list_images(fill(tmp_path, "a.png") / "a.png")


def test_names_that_are_no_utf8_are_listed_and_shown_escaped(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.png", os.O_CREAT))
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\x1b[31m.txt", os.O_CREAT))
    found = list_images(tmp_path)
    assert [os.fsencode(name) for name in found.images] == [b"\xff.png"]
    assert found.describe_skipped() == r"other files, not read: \xff\x1b[31m.txt"


def test_both_ways_to_write_a_letter_are_one_name():
    decomposed = unicodedata.normalize("NFD", "Ünï")
    assert decomposed != "Ünï"
    assert normalise_name(decomposed) == normalise_name("Ünï") == "Ünï"
