"""Names that would act on a terminal, or are no UTF-8: shown with escapes, or refused."""

from __future__ import annotations

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Said, run_commands
from helpers.counts import count
from PIL import Image

from dfpg.core.profile import use_profile
from dfpg.core.terminal import print_error, say

NOT_UTF8 = os.fsdecode(b"a\xff\xfe")
HOSTILE = ("\x1b[2J\x1b]0;owned\x07", "line\nfeed\r", "turned\u202eover", "\x7f\x9b31m", NOT_UTF8)


def is_safe(text: str) -> bool:
    """Whether a text is UTF-8, and of printable lines."""
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") for c in text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose folders of pictures hold hostile names, some of them of damaged files."""
    folder = tmp_path / "project"
    (folder / "artifacts").mkdir(parents=True)
    people = folder / "people"
    faces, slots = [f"portraits=folder:{people}"], ["b.ffhq=portraits"]
    use_profile("smoke", folder / "params.yaml", faces=faces, slots=slots)
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for name in HOSTILE:
        (people / name).mkdir(parents=True)
        for suffix in ("png", "txt", name):
            Image.fromarray(picture).save(people / name / f"{name}.{suffix}", format="PNG")
        (people / f"{name}.jpg").write_bytes(b"damaged")
    shutil.copytree(people, folder / "printable", ignore=lambda *_: [NOT_UTF8, f"{NOT_UTF8}.jpg"])
    return folder


def named(name: str) -> list[list[str]]:
    """Commands that take a name."""
    return [
        ["deblur", f"people/{name}.jpg", f"restored/{name}.png", "--aligned"],
        ["deblur", f"people/{name}", f"restored/{name}", "--aligned", "--strip", "--png"],
        ["score", "--restored", f"people/{name}", "--sharp", "people"],
        ["submit", name, "--restored", "people", "--protocol", "a"],
        ["submit", "mynet", "--restored", f"people/{name}", "--protocol", name],
        ["submit", name, "--remove"],
        ["testset", "export", "a", f"people/{name}"],
        ["sheet", f"artifacts/{name}.png", "--blurred", f"people/{name}", "--beside", name],
        ["compare", name, f"people/{name}"],
        ["seeds", name, f"people/{name}", "--against", name],
        ["publish", name],
        ["profile", "use", name],
        ["profile", "use", "smoke", "--faces", f"{name}={name}", "--slot", name],
        ["train", name],
        ["evaluate", name],
        ["faces", "sheet", "--folder", f"people/{name}", "--out", f"{name}.png"],
    ]


def commands(every_name: bool) -> list[list[str]]:
    """Commands over hostile files, then those that take a name: with every one, or one each."""
    found = [
        ["data", "check"],
        ["faces", "prepare"],
        ["deblur", "people", "restored", "--aligned"],
        ["deblur", "people", "restored", "--aligned"],  # what is there is left
        ["score", "--restored", "people", "--sharp", "people"],
        ["sheet", "artifacts/sheet.png", "--blurred", "people"],
        ["submit", "mynet", "--restored", "people", "--protocol", "a"],
    ]
    by_name = [named(name) for name in HOSTILE]
    if every_name:
        return found + [command for some in by_name for command in some]
    return found + [by_name[i % len(HOSTILE)][i] for i in range(len(by_name[0]))]


def check(said: list[Said]) -> None:
    for one in said:
        assert not one.traceback, one
        assert is_safe(one.error), one
        assert is_safe(one.output), one


@pytest.mark.parametrize("every_name", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_no_name_reaches_the_terminal_as_it_is(
    project: Path, tmp_path: Path, every_name: bool
) -> None:
    said = run_commands(project, commands(every_name), tmp_path / "log")
    check(said)
    shown = "".join(one.error + one.output for one in said)
    for escape in (r"\x1b[2J", r"line\nfeed\r", r"turned\u202eover", r"\x7f\x9b31m", r"a\xff\xfe"):
        assert escape in shown
    count("commands with hostile names", len(said), "0 tracebacks, 0 raw names")


def test_photographs_of_any_name_are_restored(project: Path, tmp_path: Path) -> None:
    (said,) = run_commands(project, [["deblur", "people", "out", "--aligned"]], tmp_path / "log")
    assert said.code == 1  # some are damaged
    for name in HOSTILE:
        assert (project / "out" / name / f"{name}.png").is_file()
        assert not (project / "out" / f"{name}.jpg").exists()


def test_a_name_that_is_no_utf8_names_its_file(project: Path, tmp_path: Path) -> None:
    for said in run_commands(project, [["data", "check"], ["faces", "prepare"]], tmp_path / "log"):
        text = said.error + said.output
        assert r"a\xff\xfe" in text
        assert "its name is not UTF-8: rename it" in text


def test_what_is_printed_is_escaped_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\x1b[2J\ntwo\u202e")
    print_error("three\nfour\x07")
    out, err = capsys.readouterr()
    assert out == "one\\x1b[2J\ntwo\\u202e\n"
    assert err == "three\\nfour\\x07\n"
