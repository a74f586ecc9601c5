"""One try at a run on one node: what Ray calls there.

A training goes on from its last checkpoint in ``scratch``, whichever node wrote that. Its lock is
the kernel's. Of a lost node the file server holds the lock until the node's lease ends, on NFS 4
typically for 90 s: so a try waits. A server that never ends it (NFS 3) is overruled, but only where
the lock is the one of this run's own lost try: should that live after all, it finds its lock
replaced before it writes anything, and ends (:meth:`dfpg.training.lock.StateFolder.check`).
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dfpg.commands.dvc_calls import environment
from dfpg.commands.side_by_side import end_with_parent
from dfpg.core.files import sha256, write_text
from dfpg.core.paths import SCRATCH

FOLDER = SCRATCH / "cluster"  # logs, places, the token
TOKEN = FOLDER / "token"
LEASE_S = 180.0  # twice what NFS 4 servers usually grant
PAUSE_S = 5.0  # between two looks at what another node did to the folder
POLL_S = 0.2
PATIENCE_S = 60.0  # a training ends its step and saves a checkpoint first
TAIL = 4096  # bytes of a log
# What dfpg.training.lock.StateFolder says; a test holds the two together.
HELD = re.compile(r"(?P<folder>\S+): process (?P<pid>\d+) is training this run")
FOREIGN = -1  # exit code of a node that does not see the project

Command = Sequence[str]  # arguments of Python


@dataclass(frozen=True)
class Task:
    """A run's commands, one after the other.

    Attributes:
        name: of the run.
        root: the project, absolute, on all nodes the same.
        token: what ``TOKEN`` holds there.
        commands: arguments of the node's Python.
        outputs: what they make, from the root.
        variables: of the environment.
    """

    name: str
    root: Path
    token: str
    commands: tuple[Command, ...]
    outputs: tuple[str, ...]
    variables: dict[str, str]

    @property
    def log(self) -> Path:
        """Log of all tries, from the root."""
        return FOLDER / f"{self.name}.log"

    @property
    def place(self) -> Path:
        """Where the last try runs: JSON with host and pid; from the root."""
        return FOLDER / f"{self.name}.json"


@dataclass(frozen=True)
class Outcome:
    """How a try ended.

    Attributes:
        code: exit code of the command that failed, negative where a signal ended it; else 0.
        host: where.
        made: SHA-256 of the outputs as that host sees them; empty where ``code`` is not 0.
        line: the last one that was said.
    """

    code: int
    host: str
    made: dict[str, str]
    line: str = ""

    @property
    def stopped(self) -> bool:
        """Whether somebody ended it from outside, so that it can go on elsewhere."""
        return self.code < FOREIGN or self.code > 128


def attempt(task: Task, after_loss: bool) -> Outcome:
    """Run a task here.

    Args:
        task: what to run.
        after_loss: whether the last try's node was lost.
    """
    host = socket.gethostname()
    if not _sees(task):
        line = f"{host} has another {task.root} than the driver: share the folder between all nodes"
        return Outcome(FOREIGN, host, {}, line)
    lost = _pid(task.root / task.place) if after_loss else None
    with (task.root / task.log).open("ab") as log:
        for command in task.commands:
            code = _run_when_free(task, command, log, host, lost)
            if code:
                return Outcome(code, host, {}, last_line(task.root / task.log))
    made = {name: sha256(task.root / name) for name in task.outputs}
    return Outcome(0, host, made, last_line(task.root / task.log))


def last_line(log: Path) -> str:
    """The last line of a log that holds anything; empty where there is none."""
    lines = [line for line in _tail(log).splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def _run_when_free(
    task: Task, command: Command, log: IO[bytes], host: str, lost: int | None
) -> int:
    """Exit code of a command, once the lost try's lock is free or overruled."""
    deadline = time.monotonic() + LEASE_S
    while True:
        start = log.seek(0, os.SEEK_END)
        code = _run(task, command, log, host)
        held = HELD.search(_tail(task.root / task.log, start)) if code == 2 else None
        if held is None:
            return code
        if time.monotonic() > deadline:
            if int(held["pid"]) != lost:
                return code
            (task.root / held["folder"] / "lock").unlink(missing_ok=True)
            lost = None  # once
        time.sleep(PAUSE_S)


def _run(task: Task, command: Command, log: IO[bytes], host: str) -> int:
    """Exit code of a command that ends with this process, and gently with a cancelled task."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=task.root,
        env=environment(**task.variables),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=end_with_parent(os.getpid()),
    )
    try:
        facts = {"host": host, "pid": process.pid}
        write_text(task.root / task.place, json.dumps(facts) + "\n")
        while (code := process.poll()) is None:
            time.sleep(POLL_S)  # Ray's cancelling interrupts Python, not a call to the system
        return code
    except BaseException:  # a cancelled task's KeyboardInterrupt
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _sees(task: Task) -> bool:
    """Whether this node's folder is the driver's: a file that the driver has just written is here.

    A file server's client may show it late.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if (task.root / TOKEN).read_text(encoding="utf-8") == task.token:
                return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)


def _pid(place: Path) -> int | None:
    try:
        return int(json.loads(place.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _tail(log: Path, start: int = 0) -> str:
    """The end of a log, no more than ``TAIL`` bytes of what comes after ``start``."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(start, size - TAIL))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
