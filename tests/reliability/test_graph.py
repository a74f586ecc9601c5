"""``dfpg graph`` on a toy pipeline: killed anywhere, it ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dfpg.commands.dvc_calls import dvc, environment
from dfpg.commands.graph import (
    COPY,
    RWLOCK,
    SET_ASIDE,
    graph,
    keep_lock,
    mend,
    set_strays_aside,
    stale_runs,
)
from dfpg.commands.lock import LOCK, other_inputs, read_lock
from dfpg.commands.side_by_side import marked_processes
from dfpg.core.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
STAGE = """
import sys, time
from pathlib import Path
seconds, out, *inputs = sys.argv[1:]
text = "".join(Path(name).read_text() for name in inputs)
time.sleep(float(seconds))
Path(out).write_text(f"{out} of [{text}]")
"""
PIPELINE = """
stages:
  parsing:
    cmd: python stage.py 0.1 parsing.txt
    deps: [stage.py]
    outs: [parsing.txt]
  baselines:
    cmd: python stage.py 0.1 baselines.txt
    outs: [baselines.txt]
  train:
    foreach: [one, two, three]
    do:
      cmd: python stage.py 0.5 train_${item}.txt parsing.txt
      deps: [parsing.txt]
      outs: ['train_${item}.txt']
  evaluate:
    foreach: [one, two, three]
    do:
      cmd: python stage.py 0.3 evaluate_${item}.txt train_${item}.txt baselines.txt
      deps: ['train_${item}.txt', baselines.txt]
      outs: ['evaluate_${item}.txt']
  tables:
    cmd: python stage.py 0.1 tables.txt evaluate_one.txt evaluate_two.txt evaluate_three.txt
    deps: [evaluate_one.txt, evaluate_two.txt, evaluate_three.txt]
    outs:
      - tables.txt: {cache: false}
"""
GRAPH = (
    "import sys; from pathlib import Path; from dfpg.commands.graph import graph; graph(Path(), 2)"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    dvc(folder, "init", "--no-scm", "-q")
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    no_scm = true\n")
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", GRAPH],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def content(folder: Path) -> dict[str, object]:
    """Outputs, and what the lock says of them."""
    files = {path.name: path.read_text() for path in sorted(folder.glob("*.txt"))}
    return files | {"lock": YAML(typ="safe").load((folder / LOCK).read_text())}


@pytest.mark.slow
def test_ten_kills_change_no_byte(project: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    subprocess.run(["cp", "-r", project, whole], check=True)
    began = time.monotonic()
    assert start(whole).wait() == 0
    takes = time.monotonic() - began
    moments = random.Random(0)
    killed = []
    for number in range(10):
        folder = tmp_path / f"killed{number}"
        subprocess.run(["cp", "-r", project, folder], check=True)
        driver = start(folder)
        moment = moments.uniform(0.1, 0.9)
        time.sleep(moment * takes)
        what = ("driver", "group", "child")[number % 3]
        if what == "driver":
            driver.kill()
        elif what == "group":
            os.killpg(driver.pid, signal.SIGKILL)
        elif children := list(marked_processes(folder)):
            moments.choice(children).kill()
        killed.append(f"{what} at {moment:.0%}: {driver.wait()}")
        graph(folder, 2)
        assert content(folder) == content(whole), killed
        assert not list(marked_processes(folder))
        assert not (folder / COPY).exists()
        assert dvc(folder, "status", "--json").strip() == "{}"
    print(f"\ngraph took {takes:.1f} s uninterrupted; killed: {'; '.join(killed)}")


@pytest.mark.slow
def test_it_runs_what_is_stale_and_names_what_failed(project: Path) -> None:
    assert graph(project, 2) == "everything is up to date"
    assert graph(project, 2).startswith("nothing to do")
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(
        text.replace("0.5 train_${item}.txt", "0.4 train_${item}.txt")
    )
    assert stale_runs(project) == ["one", "two", "three"]
    (project / "dvc.yaml").write_text(text.replace("0.5 train_${item}.txt", "x train_${item}.txt"))
    with pytest.raises(UserError, match="graph: one, two, three failed"):
        graph(project, 3)


WHOLE_FOLDER = """
stages:
  train:
    foreach: [one, two]
    do:
      cmd: mkdir -p artifacts/weights && echo ${item} > artifacts/weights/${item}
      outs: ['artifacts/weights/${item}']
  fetch:
    cmd: mkdir -p artifacts/assets && echo > artifacts/assets/a
    outs: [artifacts/assets/a]
  tables:
    cmd: ls artifacts/weights > tables.txt
    deps: [artifacts/weights]
    outs: [tables.txt]
"""


def test_files_of_a_run_that_is_no_more_are_moved_out_of_a_folder_read_whole(project: Path) -> None:
    (project / "dvc.yaml").write_text(WHOLE_FOLDER)
    for place in ("weights", "assets"):
        (project / "artifacts" / place).mkdir(parents=True)
        (project / "artifacts" / place / "stray").write_text(place)
    set_strays_aside(project)
    dvc(project, "repro", "-q")
    assert (project / "tables.txt").read_text().split() == ["one", "two"]
    assert (project / SET_ASIDE / "weights" / "stray").read_text() == "weights"
    assert (project / "artifacts" / "assets" / "stray").exists()  # no stage reads that folder
    lock = read_lock(project)
    assert other_inputs(lock) == {}
    (project / "artifacts" / "weights" / "stray").write_text("of another day")
    set_strays_aside(project)
    kept = (project / SET_ASIDE / "weights").iterdir()
    assert {path.read_text() for path in kept} == {"weights", "of another day"}
    (project / "artifacts" / "weights" / "stray").write_text("")
    dvc(project, "repro", "-q")
    what = "changed deps: artifacts/weights (not as the stages before made it)"
    assert other_inputs(read_lock(project)) == {"tables": [what]}


def write_lock(root: Path, *stages: str, tail: str = "") -> None:
    lines = [f"  {name}:\n    cmd: true\n" for name in stages]
    (root / LOCK).write_text("schema: '2.0'\nstages:\n" + "".join(lines) + tail)


@pytest.mark.parametrize("tail", ["  c:\n   outs:\n - x: [", "  c:\n    cmd: tr"])
def test_a_lock_that_was_cut_short_is_taken_from_the_copy(tmp_path: Path, tail: str) -> None:
    write_lock(tmp_path, "a", "b")
    whole = (tmp_path / LOCK).read_text()
    keep_lock(tmp_path)
    write_lock(tmp_path, "a", tail=tail)
    mend(tmp_path)
    assert (tmp_path / LOCK).read_text() == whole


def test_a_lock_that_only_grew_is_kept(tmp_path: Path) -> None:
    write_lock(tmp_path, "a")
    keep_lock(tmp_path)
    write_lock(tmp_path, "a", "b")
    grown = (tmp_path / LOCK).read_text()
    mend(tmp_path)
    assert (tmp_path / LOCK).read_text() == grown


def test_a_damaged_lock_without_a_copy_is_one_line(tmp_path: Path) -> None:
    write_lock(tmp_path, "a", tail="  b:\n   - [")
    with pytest.raises(UserError, match="git checkout"):
        mend(tmp_path)


def test_locks_of_processes_that_are_no_more_are_dropped(tmp_path: Path) -> None:
    (tmp_path / RWLOCK).parent.mkdir(parents=True)
    gone, other = 2**22 + 1, os.getpid()  # the second lives, and is no dvc
    entries = (
        '{"write": {"a": {"pid": %d, "cmd": "dvc repro"}}, "read": {"b": [{"pid": %d, "cmd": ""}]}}'
    )
    (tmp_path / RWLOCK).write_text(entries % (gone, other))
    mend(tmp_path)
    assert (tmp_path / RWLOCK).read_text() == '{"write": {}, "read": {}}'
    (tmp_path / RWLOCK).write_text('{"write": {"a": {"pi')
    mend(tmp_path)
    assert not (tmp_path / RWLOCK).exists()
