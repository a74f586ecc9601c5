"""Who may train: one process per resume state, and no longer than the ``dvc`` that started it."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import signal
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from dfpg.core.errors import UserError

PATIENCE_S = 5.0  # an orphan of a killed `dvc repro` needs up to a step to notice and to leave


class StoppedError(UserError):
    """Training stopped early on request, with a checkpoint and without outputs.

    ``exit_code`` is never 0: DVC must not take the run as done.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StateFolder(AbstractContextManager["StateFolder"]):
    """Resume state of one fingerprint, held by one process at a time.

    Entering takes the lock and removes what killed processes left half-written. The lock is the
    kernel's (``flock``): it ends with the process, however that dies.

    Raises:
        UserError: another process holds the state; it is named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path / "lock"
        self._handle = -1

    def __enter__(self) -> StateFolder:
        deadline = time.monotonic() + PATIENCE_S
        while not self._acquire():
            if time.monotonic() > deadline:
                holder = self._lock.read_text().strip() if self._lock.exists() else "unknown"
                raise UserError(
                    f"{self.path}: process {holder} is training this run: "
                    "wait for it or stop it, then run again"
                )
            time.sleep(0.1)
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        remove_temporaries(self.path)
        return self

    def _acquire(self) -> bool:
        """Try once. A lock on a file that its holder has meanwhile removed does not count."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._handle = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # the folder was removed by its holder just now
            return False
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            return False
        if not self._is_ours():
            os.close(self._handle)
            return False
        return True

    def _is_ours(self) -> bool:
        """Whether the lock file on disk is the one that this process holds."""
        try:
            return os.path.samestat(os.fstat(self._handle), self._lock.stat())
        except FileNotFoundError:
            return False

    def check(self) -> None:
        """Make sure that the state is still this process's own.

        Raises:
            UserError: the folder was removed or replaced meanwhile.
        """
        if not self._is_ours():
            raise UserError(
                f"{self.path}: removed or replaced while this run was training: "
                "nothing is written, run again"
            )

    def discard(self) -> None:
        """Delete the state: the run is complete. The lock goes last."""
        self.check()
        for path in sorted(self.path.iterdir()):
            if path != self._lock:
                path.unlink()
        shutil.rmtree(self.path)

    def __exit__(self, *_: Any) -> None:
        os.close(self._handle)


def remove_temporaries(folder: Path, name: str = "") -> None:
    """Delete what a killed ``atomic_write`` left, of all files or of ``name``."""
    pattern = f".{glob.escape(name)}.*.tmp" if name else ".*.tmp"
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


class Owner:
    """The ``dvc`` process that started this one, if any.

    DVC runs a stage as dvc -> shell -> this process, or without the shell in between where the
    shell replaces itself. It marks the stage's processes with ``DVC_STAGE``: the first ancestor
    without that mark is dvc. When dvc is killed, the process below it gets another parent at
    once, whether or not anybody reaps dvc, so a change in this line of ancestors is the sign.
    """

    def __init__(self) -> None:
        self._line: list[int] = []
        stage = os.environ.get("DVC_STAGE")
        if stage is None:
            return
        line = [psutil.Process(), *psutil.Process().parents()]
        marked = [_runs_stage(process, stage) for process in line]
        if all(marked):  # the mark was set by hand: nobody to watch
            return
        self._line = [process.pid for process in line[: marked.index(False) + 1]]
        # A stage shares its process group with dvc, never with whoever adopts orphans.
        if self.is_gone() or len({os.getpgid(pid) for pid in self._line[-2:]}) != 1:
            raise StoppedError("the dvc that started this run is gone: run `dvc repro` again", 129)

    def is_gone(self) -> bool:
        """Whether this process outlived the dvc that started it (never, if none did)."""
        try:
            return any(
                psutil.Process(child).ppid() != parent
                for child, parent in zip(self._line, self._line[1:], strict=False)
            )
        except psutil.NoSuchProcess:
            return True


def end_with_owner() -> None:
    """From now on, send this process a SIGTERM soon after the dvc that started it is gone.

    Not for trainings: they look for themselves, once a step, and save a checkpoint.
    """
    owner = Owner()

    def watch() -> None:
        while not owner.is_gone():
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _runs_stage(process: psutil.Process, stage: str) -> bool:
    """Whether DVC started this process (or an ancestor) for ``stage``."""
    try:
        return bool(process.environ().get("DVC_STAGE") == stage)
    except psutil.Error:
        return False


class StopSignals(AbstractContextManager["StopSignals"]):
    """Turns the first SIGINT or SIGTERM into a wish to stop; the second acts as usual."""

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        self.__exit__()

    def __exit__(self, *_: Any) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)
