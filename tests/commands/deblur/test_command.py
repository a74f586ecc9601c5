from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.portraits import background, with_faces
from PIL import Image

from dfpg import cli
from dfpg.commands.deblur import command
from dfpg.commands.deblur.command import Options, deblur, parse_device, weights_file
from dfpg.core import files
from dfpg.core.errors import UserError
from dfpg.pretrained.detector import Detection

PLACE = (20, 30, 120)


class Brighten:
    """Stands in for a trained method: everything becomes 25 grey levels brighter."""

    size, name, device = 32, "brighten", torch.device("cpu")

    def __init__(self, _weights: Path, _device: torch.device) -> None: ...

    def change(self, pictures: np.ndarray) -> np.ndarray:
        return np.full(pictures.shape, 25, np.float32)


def detector(_path: Path) -> Callable[[np.ndarray], list[Detection]]:
    """Stands in for SCRFD: a face at ``PLACE`` of what is as wide as :func:`portrait`."""
    found = with_faces(180, 200, [PLACE])[1]
    scale = command_scale(180, 200)

    def detect(drawn: np.ndarray) -> list[Detection]:
        if drawn.shape[:2] != (round(180 * scale), round(200 * scale)):
            return []
        return [Detection(f.score, f.box * scale, f.landmarks * scale) for f in found]

    return detect


def command_scale(height: int, width: int) -> float:
    return 400 / max(height, width)


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    monkeypatch.setattr(command, "Restorer", Brighten)
    monkeypatch.setattr(command, "CanvasDetector", detector)
    monkeypatch.setattr(command, "asset_path", Path)


def portrait() -> np.ndarray:
    return with_faces(180, 200, [PLACE])[0]


@pytest.fixture
def album(tmp_path) -> Path:
    """Two photographs with a face, one without, one damaged, one with 16 bits."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(portrait()).save(folder / "a.png")
    Image.fromarray(portrait()).save(folder / "deep" / "b.png")
    Image.fromarray(background(60, 80)).save(folder / "c.png")
    (folder / "d.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    Image.new("I;16", (8, 8)).save(folder / "e.png")
    return folder


OWN = Options(weights=Path("w.safetensors"))


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_folder_is_restored_and_what_is_left_out_is_said(album, tmp_path, capsys):
    before, out = content(album), tmp_path / "out"
    outcome = deblur(album, out, OWN)
    assert sorted(content(out)) == ["a.png", "deep/b.png"]
    assert content(album) == before
    assert not outcome.complete
    text = outcome.text.splitlines()
    assert text[0] == f"{out}: 2 of 5 photographs restored, 2 faces found (brighten at 32 px, cpu)"
    assert text[1:] == [
        "1 without a face, not written (--copy writes them as they are)",
        "2 could not be read or written, see above",
    ]
    said = [line for line in capsys.readouterr().err.splitlines() if str(album) in line]
    assert said[0] == f"{album / 'c.png'}: no face found"
    assert said[1].startswith(f"{album / 'd.jpg'}: ")
    assert said[2] == f"{album / 'e.png'}: more than 8 bits per channel: save it with 8"


def numpy_asks() -> None:
    np.empty(10**15, np.uint8)


def torch_asks() -> None:
    torch.empty(10**15, dtype=torch.uint8)


@pytest.mark.parametrize("ask", [numpy_asks, torch_asks])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_photograph_too_large_for_the_memory_does_not_stop_the_rest(
    album, tmp_path, capsys, monkeypatch, ask, aligned
):
    read = command.read_photograph

    def hungry(path: Path):
        if path.name == "a.png":
            ask()
        return read(path)

    monkeypatch.setattr(command, "read_photograph", hungry)
    choices = Options(weights=OWN.weights, aligned=aligned)
    outcome = deblur(album, tmp_path / "out", choices)
    assert not outcome.complete
    assert (tmp_path / "out" / "deep" / "b.png").is_file()
    assert not (tmp_path / "out" / "a.png").exists()
    said = [line for line in capsys.readouterr().err.splitlines() if "a.png" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{album / 'a.png'}: not enough memory, ")


def test_a_strip_of_pixels_is_no_aligned_face(album, tmp_path, capsys):
    Image.new("RGB", (60_000, 3)).save(album / "long.png")
    deblur(album, tmp_path / "out", Options(weights=OWN.weights, aligned=True))
    said = capsys.readouterr().err
    assert f"{album / 'long.png'}: 60000 x 3 px: more than 16 times as long as wide" in said
    assert (tmp_path / "out" / "a.png").is_file()


def test_a_fault_of_the_program_is_not_hidden(album, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "read_photograph", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deblur(album, tmp_path / "out", OWN)


def test_only_the_face_changes(album, tmp_path):
    deblur(album, tmp_path / "out", OWN)
    moved = np.asarray(Image.open(tmp_path / "out" / "a.png")).astype(int) - portrait()
    top, left, side = PLACE
    assert moved[top + side // 2, left + side // 2].tolist() == [25, 25, 25]
    moved[top : top + side, left : left + side] = 0
    assert not moved.any()


def test_nothing_is_overwritten_without_force(album, tmp_path):
    out = tmp_path / "out"
    deblur(album / "a.png", out, OWN)
    (out / "a.png").write_bytes(b"mine")
    again = deblur(album, out, OWN)
    assert (out / "a.png").read_bytes() == b"mine"
    assert "1 left: a file of that name is there (--force overwrites it)" in again.text
    assert (out / "deep" / "b.png").is_file()
    deblur(album, out, Options(weights=OWN.weights, force=True))
    assert (out / "a.png").read_bytes() == (out / "deep" / "b.png").read_bytes()


def test_a_strip_that_is_there_is_not_overwritten_either(album, tmp_path):
    out = tmp_path / "out"
    choices = Options(weights=OWN.weights, strip=True)
    assert deblur(album / "a.png", out, choices).complete
    assert sorted(content(out)) == ["a.png", "a.png.strip.png"]
    (out / "a.png").unlink()
    assert not deblur(album / "a.png", out, choices).complete
    assert not (out / "a.png").exists()


def test_photographs_without_a_face_are_copied_on_request(album, tmp_path):
    outcome = deblur(album / "c.png", tmp_path, Options(weights=OWN.weights, copy=True))
    assert outcome.complete
    assert "1 without a face, written as they are" in outcome.text
    assert (tmp_path / "c.png").read_bytes() == (album / "c.png").read_bytes()
    deblur(album / "c.png", tmp_path / "c.webp", Options(weights=OWN.weights, copy=True))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.webp")), background(60, 80))


def test_aligned_needs_no_detector_and_restores_the_whole(album, tmp_path, monkeypatch):
    monkeypatch.delattr(command, "CanvasDetector")
    choices = Options(weights=OWN.weights, aligned=True, strip=True)
    assert deblur(album / "c.png", tmp_path / "c.png", choices).complete
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), background(60, 80) + 25)
    assert Image.open(tmp_path / "c.png.strip.png").width == 164


def test_sideways_photograph_with_alpha_in_grey(tmp_path):
    """Face found upright, alpha and grey kept, result upright."""
    grey = Image.fromarray(portrait()).convert("L")
    alpha = Image.fromarray(background(180, 200)[..., 0])
    grey.putalpha(alpha)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    grey.rotate(90, expand=True).save(tmp_path / "a.png", exif=exif)
    assert deblur(tmp_path / "a.png", tmp_path / "b.png", OWN).complete
    restored = Image.open(tmp_path / "b.png")
    assert restored.mode == "LA"
    assert restored.size == (200, 180)
    assert np.array_equal(np.asarray(restored)[..., 1], np.asarray(alpha))
    moved = np.asarray(restored)[..., 0].astype(int) - np.asarray(grey)[..., 0]
    assert set(moved[60:100, 70:110].ravel()) == {25}
    assert not moved[:20].any()
    assert not moved[:, 155:].any()


def test_a_full_disk_ends_the_command(album, tmp_path, monkeypatch):
    def no_space(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_space)
    with pytest.raises(UserError, match="No space left on device"):
        deblur(album, tmp_path / "out", OWN)
    assert content(tmp_path / "out") == {}


def test_weights_are_the_users_or_those_that_ship(tmp_path, monkeypatch):
    assert weights_file(Path("mine")) == Path("mine")
    shipped = weights_file(None)
    own = tmp_path / "shipped.safetensors"
    monkeypatch.setattr(command, "WEIGHTS", own)
    data = bytearray(shipped.read_bytes())
    assert shipped.is_file()
    for content in (None, bytes(data[:-1]), bytes([data[0] ^ 1, *data[1:]])):
        if content is not None:
            own.write_bytes(content)
        with pytest.raises(UserError, match="missing or damaged: install the package") as error:
            weights_file(None)
        assert "--weights artifacts/weights/dfpg_b.safetensors" in str(error.value)
    own.write_bytes(data)
    assert weights_file(None) == own
    monkeypatch.setattr(command, "CARD", tmp_path / "no card")
    with pytest.raises(UserError, match="missing or damaged"):
        weights_file(None)


def test_devices():
    assert parse_device("cpu") == torch.device("cpu")
    for name in ("gpu", "meta", ""):
        with pytest.raises(UserError, match="use cpu, cuda"):
            parse_device(name)
    with pytest.raises(UserError, match="not usable here"):
        parse_device("cuda:99")


def run(monkeypatch, capsys, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["dfpg", "deblur", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    written = capsys.readouterr()
    return int(stop.value.code or 0), written.out, written.err


def test_exit_codes(album, tmp_path, monkeypatch, capsys):
    weights = ("--weights", "w.safetensors")
    code, out, _ = run(monkeypatch, capsys, album / "a.png", tmp_path / "x.png", *weights)
    assert code == 0
    assert "1 of 1 photographs restored, 1 face found (" in out
    code, out, _ = run(monkeypatch, capsys, album, tmp_path / "out", *weights)
    assert code == 1
    code, out, err = run(monkeypatch, capsys, album, album / "out", *weights)
    assert code == 2
    assert out == ""
    assert err.startswith("dfpg: ")
    assert len(err.splitlines()) == 1


def test_a_private_photograph_stays_private(album, tmp_path):
    (album / "a.png").chmod(0o600)
    (album / "deep" / "b.png").chmod(0o644)
    (album / "c.png").chmod(0o640)
    before = os.umask(0o077)
    try:
        deblur(album, tmp_path / "closed", Options(weights=OWN.weights, strip=True, copy=True))
    finally:
        os.umask(before)
    deblur(album, tmp_path / "open", Options(weights=OWN.weights, strip=True, copy=True))

    def modes(folder: Path) -> dict[str, int]:
        return {
            path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777
            for path in sorted(folder.rglob("*.png"))
        }

    found = modes(tmp_path / "open")
    assert found.pop("a.png") == found.pop("a.png.strip.png") == 0o600
    assert found.pop("c.png") == 0o640 & ~before
    assert set(found.values()) == {0o644 & ~before}
    assert set(modes(tmp_path / "closed").values()) == {0o600}


def test_names_that_are_no_utf8_or_would_act_on_the_terminal(tmp_path, capsys):
    """They are restored, keep their names, and are shown escaped."""
    (tmp_path / "album").mkdir()
    names = [b"\xff.png", b"a\x1b[2J.png"]
    Image.fromarray(portrait()).save(tmp_path / "p.png")
    Image.fromarray(background(60, 80)).save(tmp_path / "empty.png")
    for name in names:
        shutil.copy(tmp_path / "p.png", os.fsencode(tmp_path / "album") + b"/" + name)
        shutil.copy(tmp_path / "empty.png", os.fsencode(tmp_path / "album") + b"/no" + name)
    outcome = deblur(tmp_path / "album", tmp_path / "out", OWN)
    assert sorted(os.fsencode(path.name) for path in (tmp_path / "out").iterdir()) == sorted(names)
    said = capsys.readouterr().err
    assert r"no\xff.png: no face found" in said
    assert r"noa\x1b[2J.png: no face found" in said
    assert "\x1b" not in outcome.text + said


def test_only_the_face_in_the_middle(tmp_path, monkeypatch):
    picture, found = with_faces(300, 400, [(10, 10, 150), (130, 140, 120)])
    monkeypatch.setattr(command, "CanvasDetector", lambda _: None)
    monkeypatch.setattr(command, "find_faces", lambda *_: found)
    Image.fromarray(picture).save(tmp_path / "a.png")
    choices = Options(weights=OWN.weights, only_center=True)
    assert "1 face found (" in deblur(tmp_path / "a.png", tmp_path / "b.png", choices).text
    moved = np.asarray(Image.open(tmp_path / "b.png")).astype(int) - picture
    assert moved[170:210, 180:220].max() == 25
    assert not moved[:120].any()


def test_crops_of_every_face_before_and_after(album, tmp_path):
    crops = tmp_path / "crops"
    choices = Options(weights=OWN.weights, crops=crops)
    deblur(album, tmp_path / "out", choices)
    names = [
        f"{p}.face1.{when}.png" for p in ("a.png", "deep/b.png") for when in ("after", "before")
    ]
    assert sorted(content(crops)) == sorted(names)
    before, after = (
        np.asarray(Image.open(crops / f"a.png.face1.{when}.png")).astype(int)
        for when in ("before", "after")
    )
    assert before.shape == after.shape
    assert 84 <= len(before) <= 120  # the frame lies inside the picture of the face
    middle = np.s_[40:80, 40:80]
    assert np.abs(np.median(after[middle] - before[middle]) - 25) <= 1
    with pytest.raises(UserError, match=r"is not empty"):
        deblur(album, tmp_path / "again", choices)
    with pytest.raises(UserError, match="lies in the input"):
        deblur(album, tmp_path / "again", Options(weights=OWN.weights, crops=album / "crops"))
    with pytest.raises(UserError, match="a file"):
        deblur(album, tmp_path / "again", Options(weights=OWN.weights, crops=album / "a.png"))
    assert not (tmp_path / "again").exists()


def test_options_that_contradict_themselves_are_one_line():
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UserError, match="a share from 0 to 1"):
            Options(strength=strength)
    with pytest.raises(UserError, match="finds no faces"):
        Options(aligned=True, only_center=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--scale", "2"), "--scale 2: photographs are not enlarged"),
        (("--run", "nosuch"), "here: call this in the project's folder; `dfpg record fetch`"),
        (("--run", "shipped", "--weights", "w"), "give one of them"),
    ],
)
def test_refused_options(album, tmp_path, monkeypatch, capsys, arguments, message):
    code, _, err = run(monkeypatch, capsys, album, tmp_path / "out", *arguments)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_faces_that_the_shipped_model_hardly_changes_are_left_and_said(
    album, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(Brighten, "change", lambda _, p: np.full(p.shape, 1, np.float32))
    said = deblur(album / "a.png", tmp_path / "x.png", Options()).text
    assert f"{album / 'a.png'}: left as it was\n" in capsys.readouterr().err
    assert "1 of the faces left as they were: the model would hardly change them" in said
    assert np.array_equal(np.asarray(Image.open(tmp_path / "x.png")), portrait())
    free = deblur(album / "a.png", tmp_path / "y.png", Options(check=False)).text
    assert "left as they were" not in free
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "y.png")), portrait())
    deblur(album / "a.png", tmp_path / "z.png", OWN)  # another model's limit is not known
    assert not np.array_equal(np.asarray(Image.open(tmp_path / "z.png")), portrait())
