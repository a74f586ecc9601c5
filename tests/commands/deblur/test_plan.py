from __future__ import annotations

from pathlib import Path

import pytest

from dfpg.commands.deblur.plan import plan
from dfpg.core.errors import UserError


@pytest.fixture
def album(tmp_path) -> Path:
    folder = tmp_path / "album"
    for name in (
        "a.jpg",
        "b.PNG",
        "deep/er/c.webp",
        "notes.txt",
        "deep/d.heic",
        ".e.png",
        "README",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "folder.jpg").mkdir()
    return folder


def test_a_folder_keeps_its_subfolders_and_names(album, tmp_path):
    out = tmp_path / "out"
    found = plan(album, out, png=False, strip=False)
    assert [job.target.relative_to(out).as_posix() for job in found.jobs] == [
        "a.jpg",
        "b.PNG",
        "deep/er/c.webp",
    ]
    assert all(job.format is None and job.strip is None for job in found.jobs)
    assert found.remark == (
        "other files, not read: README, deep/d.heic, notes.txt; "
        "skipped: 1 hidden or left by the system"
    )
    assert not out.exists()


def test_a_photograph_goes_into_a_folder_or_to_a_name(album, tmp_path):
    source = album / "a.jpg"
    for out, target, format in (
        (tmp_path / "out", tmp_path / "out" / "a.jpg", None),
        (tmp_path / "x.png", tmp_path / "x.png", "PNG"),
        (tmp_path, tmp_path / "a.jpg", None),
        (album / "restored.webp", album / "restored.webp", "WEBP"),
    ):
        (job,) = plan(source, out, png=False, strip=False).jobs
        assert (job.source, job.target, job.format) == (source, target, format)


def test_an_image_name_is_written_or_refused_and_never_a_folder(album, tmp_path, monkeypatch):
    """Case 13."""
    for ending in (".heic", ".gif", ".jxl", ".pdf", ".CR2"):
        with pytest.raises(UserError, match=rf"out\{ending}: \{ending} is not written: use one of"):
            plan(album / "a.jpg", tmp_path / f"out{ending}", png=False, strip=False)
    with pytest.raises(UserError, match=r"out\.avif: the name of an image, but .* is a folder"):
        plan(album, tmp_path / "out.avif", png=False, strip=False)
    (job,) = plan(album / "a.jpg", tmp_path / "restored.v2", png=False, strip=False).jobs
    assert job.target == tmp_path / "restored.v2" / "a.jpg"
    monkeypatch.setattr("PIL.features.check", lambda _: False)
    with pytest.raises(UserError, match=r"out\.avif: \.avif is not written"):
        plan(album / "a.jpg", tmp_path / "out.avif", png=False, strip=False)


def test_png_is_asked_for(album, tmp_path):
    jobs = plan(album, tmp_path / "out", png=True, strip=True).jobs
    assert [job.target.name for job in jobs] == ["a.png", "b.png", "c.png"]
    assert {job.format for job in jobs} == {"PNG"}
    assert jobs[0].strip == tmp_path / "out" / "a.png.strip.png"


def test_nothing_that_is_read_is_written(album, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(album)
    for source, out in (
        (album, album),
        (album, album / "out"),
        (album, link / "out"),
        (link, album / "out"),
    ):
        with pytest.raises(UserError, match="lies in the input"):
            plan(source, out, png=False, strip=False)
    for source, out in ((album / "a.jpg", album), (link / "a.jpg", album / "a.jpg")):
        with pytest.raises(UserError, match="is an input"):
            plan(source, out, png=False, strip=False)
    (tmp_path / "out").symlink_to(album)
    with pytest.raises(UserError, match="lies in the input"):
        plan(album, tmp_path / "out", png=False, strip=False)


def test_two_photographs_of_one_name_are_refused(album, tmp_path):
    (album / "a.webp").touch()
    with pytest.raises(UserError, match=r"a\.png.*a\.jpg and .*a\.webp"):
        plan(album, tmp_path / "out", png=True, strip=False)


def test_nothing_to_do_is_said(album, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no images of PNG, JPEG"):
        plan(tmp_path / "empty", tmp_path / "out", png=False, strip=False)
    with pytest.raises(UserError, match="no such file or folder"):
        plan(tmp_path / "nothing", tmp_path / "out", png=False, strip=False)
    (tmp_path / "x").touch()
    with pytest.raises(UserError, match="a file, but"):
        plan(album, tmp_path / "x", png=False, strip=False)
