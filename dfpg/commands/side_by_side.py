"""Commands side by side: none outlives the process that started them, and a kill loses nothing.

On Linux the kernel ends the commands with their driver, however that dies. What they started in
turn, and everything elsewhere, carries the driver's mark in its environment: the next driver of the
same project finds it, and stops it first.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from dfpg.commands.dvc_calls import environment
from dfpg.core.errors import UserError
from dfpg.core.paths import SCRATCH
from dfpg.core.terminal import say
from dfpg.training.lock import StoppedError, StopSignals

FOLDER = SCRATCH / "side_by_side"  # lock and logs
MARK = "DFPG_SIDE_BY_SIDE"  # environment variable: the project's root
PATIENCE_S = 60.0  # a training ends its step and saves a checkpoint first
POLL_S = 0.1
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

Command = Sequence[str]


@dataclass
class _Task:
    """The commands of one name, one after the other, and the one that runs."""

    name: str
    commands: list[Command]
    process: subprocess.Popen[bytes]
    log: Path | None
    shown: int = 0  # bytes of the log

    @property
    def place(self) -> Path:
        """The log, from the project's root."""
        return FOLDER / f"{self.name}.log"


@dataclass
class Driver(AbstractContextManager["Driver"]):
    """Runs commands in a project, several at a time; one driver per project.

    Entering stops what a killed driver left behind. Leaving ends what still runs.

    Attributes:
        root: the project.
        label: what is run, for messages.
        patience: s, between SIGTERM and SIGKILL.

    Raises:
        UserError: another driver works in the project.
    """

    root: Path
    label: str
    patience: float = PATIENCE_S
    _open: ExitStack = field(default_factory=ExitStack)
    _tasks: list[_Task] = field(default_factory=list)

    def __enter__(self) -> Driver:
        self.root = self.root.resolve()
        with ExitStack() as stack:
            stack.enter_context(_hold_lock(self.root / FOLDER / "lock", self.label))
            self._signals = stack.enter_context(StopSignals())
            count = stop_marked(self.root, self.patience)
            if count:
                say(f"{self.label}: stopped {count} processes that an earlier one left behind")
            self._open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            self._end(0.0 if kind is KeyboardInterrupt else self.patience)
        finally:
            self._open.close()

    def run(self, tasks: Mapping[str, Sequence[Command]], jobs: int = 1) -> list[str]:
        """Run each task's commands one after the other, ``jobs`` tasks at a time.

        Where several tasks run at a time, each has one thread, and its output goes to a log; whole
        lines of it are shown.

        Args:
            tasks: commands by the task's name.
            jobs: tasks at a time.

        Returns:
            Names of the tasks that failed. Others go on when one fails.

        Raises:
            StoppedError: SIGINT or SIGTERM; everything has ended.
        """
        waiting = [(name, list(commands)) for name, commands in tasks.items()]
        failed: list[str] = []
        total, aside = len(waiting), jobs > 1
        while waiting or self._tasks:
            while waiting and len(self._tasks) < jobs:
                name, commands = waiting.pop(0)
                self._tasks.append(self._start(name, commands, aside))
            time.sleep(POLL_S)
            self.check_signals()
            for task in list(self._tasks):
                code = task.process.poll()
                _show(task)
                if code is None:
                    continue
                self._tasks.remove(task)
                if code == 0 and task.commands:
                    self._tasks.append(self._start(task.name, task.commands, aside))
                    continue
                if code:
                    failed.append(task.name)
                if aside:
                    done = total - len(waiting) - len(self._tasks)
                    outcome = f"failed (exit code {code}), see {task.place}" if code else "done"
                    say(f"{task.name}: {outcome} ({done} of {total})")
        return [name for name in tasks if name in failed]

    def check_signals(self) -> None:
        """End here if somebody asked for it.

        Raises:
            StoppedError: SIGINT or SIGTERM; everything that this driver started has ended.
        """
        if number := self._signals.received:
            self._end(self.patience)
            raise StoppedError(
                f"{self.label}: stopped ({signal.Signals(number).name}); run again to go on",
                128 + number,
            )

    def _start(self, name: str, commands: Sequence[Command], aside: bool) -> _Task:
        log = self.root / FOLDER / f"{name}.log" if aside else None
        variables = {MARK: str(self.root)} | ({"OMP_NUM_THREADS": "1"} if aside else {})
        with ExitStack() as files:
            stream = files.enter_context(log.open("ab")) if log else None
            shown = stream.tell() if stream else 0
            process = subprocess.Popen(
                commands[0],
                cwd=self.root,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # signals to this process's group are passed on by it alone
                preexec_fn=end_with_parent(os.getpid()),
            )
        return _Task(name, list(commands[1:]), process, log, shown)

    def _end(self, patience: float) -> None:
        """End all tasks and whatever they started."""
        if not self._tasks:
            return
        stop_marked(self.root, patience)
        for task in self._tasks:
            task.process.wait()
            _show(task)
        self._tasks.clear()


def stop_marked(root: Path, patience: float) -> int:
    """End every process that a driver of this project started, but this one; how many there were.

    Args:
        root: the project, absolute.
        patience: s, between SIGTERM and SIGKILL.
    """
    told: set[int] = set()
    deadline = time.monotonic() + patience
    while found := list(marked_processes(root)):
        late = time.monotonic() >= deadline
        for process in found:
            if late or process.pid not in told:
                with suppress(psutil.Error):  # ended meanwhile
                    process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
        told |= {process.pid for process in found}
        time.sleep(POLL_S)
    return len(told)


def marked_processes(root: Path) -> Iterator[psutil.Process]:
    """Living processes that a driver of this project started, but this one."""
    for process in psutil.process_iter():
        try:
            mine = process.pid != os.getpid() and process.environ().get(MARK) == str(root)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:  # ended meanwhile, or somebody else's
            continue


@contextmanager
def _hold_lock(path: Path, label: str) -> Iterator[None]:
    """Hold a lock of the kernel's, which ends with the process, however that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text().strip() or "another one"
            raise UserError(
                f"{label}: process {holder} runs here already: "
                "wait for it or stop it, then run again"
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def end_with_parent(parent: int) -> Callable[[], None] | None:
    """What a child does before it starts: on Linux, ask for SIGTERM when its parent ends."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before
            os._exit(1)

    return prepare


def _show(task: _Task) -> None:
    """Print the whole lines that a task has logged since the last time."""
    if task.log is None:
        return
    with task.log.open("rb") as stream:
        lines = _whole_lines(stream, task.shown)
    task.shown += len(lines)
    if lines:
        say(lines.decode(errors="replace").removesuffix("\n"))


def _whole_lines(stream: IO[bytes], start: int) -> bytes:
    stream.seek(start)
    text = stream.read()
    return text[: text.rfind(b"\n") + 1]
