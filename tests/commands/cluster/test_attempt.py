from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dfpg.commands.cluster import attempt as module
from dfpg.commands.cluster.attempt import FOREIGN, HELD, Outcome, Task, attempt, last_line
from dfpg.commands.cluster.tasks import open_folder
from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.training import lock
from dfpg.training.lock import StateFolder

# Holds a lock as a file server does whose client is lost: until somebody removes it.
HOLD = """
import sys, time
from pathlib import Path
from dfpg.training.lock import StateFolder
with StateFolder(Path("scratch/abc")):
    print("held", flush=True)
    time.sleep(3600)
"""
# A training in small: one line and exit code 2 where another one holds the state.
TAKE = """
import sys
from pathlib import Path
from dfpg.core.errors import UserError
from dfpg.training import lock
lock.PATIENCE_S = 0.0
try:
    with lock.StateFolder(Path("scratch/abc")):
        Path("made").write_text("it")
except UserError as error:
    print(f"dfpg: {error}", file=sys.stderr)
    sys.exit(2)
"""


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    for name, seconds in (("LEASE_S", 0.5), ("PATIENCE_S", 0.2), ("PAUSE_S", 0.05)):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def task(tmp_path: Path) -> Task:
    commands = (("-c", "print('one')"), ("-c", "open('made', 'w').write('it'); print('two\\n')"))
    return Task("b1", tmp_path, open_folder(tmp_path), commands, ("made",), {})


@pytest.fixture
def holder(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_commands_run_one_after_the_other_and_what_they_made_is_hashed(task):
    found = attempt(task, after_loss=False)
    assert found.code == 0
    assert found.made == {"made": sha256(task.root / "made")}
    assert (task.root / task.log).read_text() == "one\ntwo\n\n"
    assert last_line(task.root / task.log) == found.line == "two"
    assert json.loads((task.root / task.place).read_text())["host"] == found.host


def test_the_first_that_fails_is_the_last(task):
    failing = replace(task, commands=(("-c", "import sys; sys.exit('no luck')"), *task.commands))
    found = attempt(failing, after_loss=False)
    assert (found.code, found.line, found.made) == (1, "no luck", {})
    assert not found.stopped


@pytest.mark.parametrize(("code", "stopped"), [(-9, True), (143, True), (2, False), (1, False)])
def test_only_what_somebody_ended_goes_on_elsewhere(code, stopped):
    assert Outcome(code, "here", {}).stopped is stopped
    assert not Outcome(FOREIGN, "here", {}).stopped


def test_a_node_with_another_folder_runs_nothing(task):
    found = attempt(replace(task, token="another"), after_loss=False)
    assert found.code == FOREIGN
    assert "share the folder between all nodes" in found.line
    assert not (task.root / "made").exists()


def test_a_held_state_is_known_by_what_the_training_says(tmp_path, holder, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.0)
    with pytest.raises(UserError) as error, StateFolder(tmp_path / "scratch" / "abc"):
        pass
    held = HELD.search(str(error.value))
    assert held is not None
    assert Path(held["folder"]) == tmp_path / "scratch" / "abc"
    assert int(held["pid"]) == holder.pid


def test_a_lock_that_ends_in_time_is_waited_for(task, holder, monkeypatch):
    monkeypatch.setattr(module, "LEASE_S", 60.0)
    monkeypatch.setattr(module.time, "sleep", lambda _: (holder.kill(), holder.wait()))
    assert attempt(replace(task, commands=(("-c", TAKE),)), after_loss=False).code == 0


def test_the_lost_trys_lock_is_overruled_and_another_processs_is_not(task, holder):
    taking = replace(task, commands=(("-c", TAKE),))
    place = task.root / task.place
    place.write_text(json.dumps({"host": "lost", "pid": holder.pid + 1}))
    began = time.monotonic()
    refused = attempt(taking, after_loss=True)
    assert refused.code == 2
    assert f"process {holder.pid} is training this run" in refused.line
    assert time.monotonic() - began > 0.5
    for after_loss, code in ((False, 2), (True, 0)):
        place.write_text(json.dumps({"host": "lost", "pid": holder.pid}))
        assert attempt(taking, after_loss).code == code
    assert (task.root / "made").read_text() == "it"
    assert holder.poll() is None  # it lives, and will find its lock replaced
