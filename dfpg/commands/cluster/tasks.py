"""Tasks on Ray's nodes: each run's share of a machine, and another try where a node is lost."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import parse_flag_from_env

from dfpg.commands.cluster.attempt import FOLDER, PAUSE_S, TOKEN, Outcome, Task, attempt, last_line
from dfpg.commands.cluster.view import State, View
from dfpg.commands.side_by_side import PATIENCE_S, Driver
from dfpg.core.device import CPU_ONLY, select_device
from dfpg.core.errors import UserError
from dfpg.core.files import sha256, write_text

TRIES = 20  # of a run; one whose memory does not suffice would otherwise end node after node
POLL_S = 1.0
KNOCK_S = 10.0
LOST = -1000  # exit code of a task whose node is no more
SETTLE_S = 90.0  # a file server's client may show what another node wrote a minute late
OBJECT_STORE = 100 * 2**20  # bytes; tasks return a few lines
SETTINGS = {  # of Ray, where it is started here
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # by default trainings would yield to all else
}


@dataclass(frozen=True)
class Share:
    """What a task takes of a node: cores, and a GPU or a part of one."""

    cpus: float
    gpus: float


def share_of(resources: Mapping[str, float], per_gpu: int) -> Share:
    """One core, which is one thread; and where there are GPUs, one of ``per_gpu`` parts of one.

    Args:
        resources: of the whole cluster, as Ray names them.
        per_gpu: runs at a time on a GPU.

    Raises:
        UserError: nothing computes there.
    """
    if resources.get("CPU", 0) < 1:
        raise UserError(
            "cluster: Ray's nodes offer no core: start them with `ray start --num-cpus N`"
        )
    gpus = resources.get("GPU", 0) >= 1 and not parse_flag_from_env(CPU_ONLY)
    return Share(1, 1 / per_gpu if gpus else 0)


def cores_here(jobs: int | None) -> int:
    """Tasks at a time where Ray is started here, GPUs aside: ``jobs`` bounds them on a CPU."""
    cores = os.cpu_count() or 1
    return cores if select_device().type != "cpu" else jobs or cores


def connect(address: str | None, cores: int) -> Mapping[str, float]:
    """Join a running Ray cluster, or start Ray on this machine alone; what it has.

    Args:
        address: ``auto`` or ``HOST:PORT`` of a running one; None: this machine.
        cores: tasks at a time on this machine.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        UserError: no cluster answers.
    """
    os.environ |= SETTINGS
    import ray

    common: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        with _own_signals():
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=cores,
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE,
                    **common,
                )
            else:
                _knock(address)
                ray.init(address=address, **common)
    except Exception as error:  # Ray raises many kinds, some of them bare
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise UserError(
            f"cluster: no Ray at {address or 'this machine'} ({reason}): start it with `ray start "
            "--head`, see docs/cluster.md"
        ) from error
    found: Mapping[str, float] = ray.cluster_resources()
    return found


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the driver's handlers: Ray puts its own in their place."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _knock(address: str) -> None:
    """Ask whether anybody is at HOST:PORT; Ray itself would try for minutes.

    Raises:
        OSError: nobody is.
        ValueError: the port is no number.
    """
    host, colon, port = address.rpartition(":")
    if colon and "/" not in address:
        socket.create_connection((host, int(port)), KNOCK_S).close()


def open_folder(root: Path) -> str:
    """Forget the logs and places of an earlier command; the token by which nodes know the folder.

    Args:
        root: the project.
    """
    for path in (root / FOLDER).glob("*"):
        path.unlink(missing_ok=True)
    token = secrets.token_hex(8)
    write_text(root / TOKEN, token)
    return token


def variables() -> dict[str, str]:
    """Of every task's environment: one thread, and the CPU where this process is told to use it."""
    chosen = {CPU_ONLY: os.environ[CPU_ONLY]} if CPU_ONLY in os.environ else {}
    return {"OMP_NUM_THREADS": "1", **chosen}


def run_tasks(
    driver: Driver, tasks: Sequence[Task], share: Share, finish: Callable[[str], None]
) -> dict[str, str]:
    """Run tasks on the cluster that this process has joined.

    A task whose node is lost, or that somebody stops from outside, is tried again elsewhere.

    Args:
        driver: of the project; its signals stop everything.
        tasks: what to run.
        share: of a node, for each.
        finish: is called with a task's name when all that it made is here.

    Returns:
        What went wrong, by the names of the tasks that failed. Others go on when one fails.

    Raises:
        StoppedError: SIGINT or SIGTERM; every training has saved a checkpoint.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    remote = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=0)(attempt)
    by_name = {task.name: task for task in tasks}
    running = {remote.remote(task, False): task.name for task in tasks}
    tries = dict.fromkeys(by_name, 1)
    ended: dict[str, State] = {}
    failed: dict[str, str] = {}
    with View(driver.label, list(by_name)) as view:
        try:
            while running:
                ready, _ = ray.wait(list(running), timeout=POLL_S)
                driver.check_signals()
                for reference in ready:
                    task = by_name[running.pop(reference)]
                    try:
                        outcome: Outcome = ray.get(reference)
                    except RayTaskError as error:
                        outcome = Outcome(1, _host(task), {}, str(error).strip().split("\n")[-1])
                    except RayError as error:
                        outcome = Outcome(LOST, _host(task), {}, type(error).__name__)
                    why = _why(outcome)
                    if outcome.stopped and tries[task.name] < TRIES:
                        tries[task.name] += 1
                        view.say(f"{task.name}: {why}: try {tries[task.name]}, where it stopped")
                        running[remote.remote(task, True)] = task.name
                        continue
                    if not why:
                        why = _settle(task, outcome, finish)
                    ended[task.name] = State("failed", why) if why else State("done")
                    if why:
                        failed[task.name] = why
                        view.say(f"{task.name}: failed: {why}, see {task.log}")
                    else:
                        view.say(f"{task.name}: done on {outcome.host}")
                view.show({name: ended.get(name) or _state(by_name[name]) for name in by_name})
        finally:
            for reference in running:
                ray.cancel(reference)
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=PATIENCE_S)
    return failed


def _settle(task: Task, outcome: Outcome, finish: Callable[[str], None]) -> str:
    """Take in what a task made, as soon as it is seen here; what is wrong with it, if anything."""
    deadline = time.monotonic() + SETTLE_S
    while not all(_is(task.root / name, digest) for name, digest in outcome.made.items()):
        if time.monotonic() > deadline:
            return f"what it made on {outcome.host} is not in {task.root} here"
        time.sleep(PAUSE_S)
    try:
        finish(task.name)
    except UserError as error:
        return str(error)
    return ""


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path) == digest


def _why(outcome: Outcome) -> str:
    """What went wrong; empty where nothing did."""
    if not outcome.code:
        return ""
    if outcome.code == LOST:
        return f"{outcome.host or 'its node'} is lost ({outcome.line})"
    if outcome.stopped:
        return f"stopped on {outcome.host} (exit code {outcome.code})"
    return outcome.line or f"exit code {outcome.code} on {outcome.host}"


def _state(task: Task) -> State:
    host = _host(task)
    if not host:
        return State("waiting")
    return State("running", f"{host}: {last_line(task.root / task.log)}")


def _host(task: Task) -> str:
    """Where the last try runs; empty where none has begun."""
    try:
        return str(json.loads((task.root / task.place).read_text(encoding="utf-8"))["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
