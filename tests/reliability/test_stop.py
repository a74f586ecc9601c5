"""Stopping on request, a full disk, a second process, an orphan of a killed dvc."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from helpers.toys import Toy, ToyBatches, start, toy_config, train_toy, wait_until

from dfpg.core.errors import UserError
from dfpg.training import lock as state
from dfpg.training import loop
from dfpg.training.checkpoint import TrainingState, load_checkpoint
from dfpg.training.ema import clone
from dfpg.training.lock import StateFolder, StoppedError
from dfpg.training.step import training_step

TESTS = Path(__file__).resolve().parents[1]


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("scratch/checkpoint-*.safetensors"))


@contextmanager
def signal_in_step(step: int, number: int, times: int = 1) -> Iterator[None]:
    """Send this process a signal while a step is computed, so many times."""
    taken = itertools.count()

    def interrupted(*args):
        for _ in range(times if next(taken) == step else 0):
            os.kill(os.getpid(), number)
        return training_step(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "training_step", interrupted)
        yield


@pytest.mark.parametrize("step", [0, 12, 29])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_saves_and_resumes_exactly(
    tmp_path: Path, number: int, step: int
) -> None:
    config = toy_config(30, checkpoint_every=1000)
    expected = train_toy(tmp_path / "whole", config, dropout=0.2)
    handler = signal.getsignal(number)
    with (
        signal_in_step(step, number),
        pytest.raises(StoppedError, match=f"stopped at step {step + 1} of 30") as caught,
    ):
        train_toy(tmp_path, config, dropout=0.2)
    assert caught.value.exit_code == 128 + number
    assert "\n" not in str(caught.value)
    assert signal.getsignal(number) is handler
    assert len(checkpoints(tmp_path)) == 2  # of the start, and of the stop
    assert not (tmp_path / "toy.safetensors").exists()
    batches = ToyBatches()
    assert train_toy(tmp_path, config, dropout=0.2, batches=batches) == expected
    assert batches.served == list(range(step + 1, 30))


def test_sigterm_from_outside_gives_a_clean_exit_code(tmp_path: Path) -> None:
    process = start(tmp_path, toy_config(10**6, checkpoint_every=3))
    wait_until(lambda: bool(checkpoints(tmp_path)))
    process.terminate()
    process.join()
    assert process.exitcode == 143
    assert "checkpoint saved, run again to resume" in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "toy.safetensors").exists()


def test_a_second_signal_does_not_wait_for_the_step(tmp_path: Path) -> None:
    # A shell starts its background jobs with SIGINT ignored, and the tests may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with signal_in_step(5, signal.SIGINT, times=2), pytest.raises(KeyboardInterrupt):
            train_toy(tmp_path, toy_config(30))
    finally:
        signal.signal(signal.SIGINT, before)
    assert train_toy(tmp_path, toy_config(30)) == train_toy(tmp_path / "whole", toy_config(30))


def test_a_full_disk_gives_one_line_and_keeps_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(30, checkpoint_every=5)
    expected = train_toy(tmp_path / "whole", config)
    synced = []

    def fsync(handle: int) -> None:
        synced.append(handle)
        if len(synced) > 6:  # two for each checkpoint: file and folder; the first is of the start
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(UserError, match="No space left on device") as caught:
            train_toy(tmp_path, config)
    assert "\n" not in str(caught.value)
    assert [p.name for p in checkpoints(tmp_path)] == [
        "checkpoint-000000005.safetensors",
        "checkpoint-000000010.safetensors",
    ]
    assert not list(tmp_path.rglob("*.tmp"))
    batches = ToyBatches()
    assert train_toy(tmp_path, config, batches=batches) == expected
    assert batches.served[0] == 10


def small_files_only() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))


def test_a_write_that_the_kernel_cuts_short_gives_one_line(tmp_path: Path) -> None:
    process = start(tmp_path, toy_config(30, checkpoint_every=5), small_files_only)
    process.join()
    assert process.exitcode == 2
    assert "cannot write (File too large)" in (tmp_path / "stderr").read_text()
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    assert not checkpoints(tmp_path)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_full_disk_while_writing_outputs_keeps_the_earlier_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = train_toy(tmp_path, toy_config(10))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(UserError, match="full"):
        train_toy(tmp_path, toy_config(20, checkpoint_every=100))
    now = (tmp_path / "toy.safetensors").read_bytes(), (tmp_path / "toy.csv").read_bytes()
    assert now == earlier


def test_a_second_process_on_the_same_state_refuses_and_names_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PATIENCE_S", 0.2)
    process = start(tmp_path, toy_config(10**6, checkpoint_every=3))
    wait_until(lambda: bool(checkpoints(tmp_path)))
    with pytest.raises(UserError, match=f"process {process.pid} is training this run"):
        train_toy(tmp_path, toy_config(10**6))
    assert process.is_alive()
    process.kill()
    process.join()
    with StateFolder(tmp_path / "scratch"):
        pass  # the lock of a killed process is free


def test_nothing_is_written_where_the_state_was_taken_away(tmp_path: Path) -> None:
    class TakenAway(ToyBatches):
        def batch(self, step: int):
            if step == 3:
                (tmp_path / "scratch" / "lock").unlink()
            return super().batch(step)

    with pytest.raises(UserError, match="removed or replaced"):
        train_toy(tmp_path, toy_config(10, checkpoint_every=100), batches=TakenAway())
    assert not (tmp_path / "toy.safetensors").exists()
    assert not (tmp_path / "toy.csv").exists()


def stage_pid(folder: Path) -> int:
    """Process that holds the state; waits until it trains."""
    lock = folder / "scratch" / "lock"
    wait_until(lambda: lock.exists() and lock.read_text().strip() != "")
    return int(lock.read_text())


def assert_left_without_outputs(folder: Path, pid: int) -> None:
    wait_until(lambda: not psutil.pid_exists(pid))
    assert "dvc is gone" in (folder / "stderr").read_text()
    assert not (folder / "toy.safetensors").exists()
    assert not (folder / "toy.csv").exists()
    method = Toy()
    saved = TrainingState(method.networks, method.optimisers(0.1, 0.1), {})
    saved.average = clone(method.networks["generator"])
    saved.course = clone(method.networks["generator"])
    assert load_checkpoint(folder / "scratch", saved)


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


# What DVC does: a shell runs the command, and the stage's processes carry DVC_STAGE.
STAND_IN = """
import os, subprocess, sys
subprocess.Popen(["/bin/sh", "-c", sys.argv[1]], env=os.environ | {"DVC_STAGE": "train@toy"}).wait()
"""


@pytest.mark.parametrize("between", [True, False], ids=["shell_stays", "shell_replaced"])
def test_an_orphan_stops_without_outputs(tmp_path: Path, between: bool) -> None:
    stage = shlex.join([sys.executable, "-m", "helpers.toys", str(tmp_path), "1000000"])
    command = f"{stage}; true" if between else f"exec {stage}"
    dvc = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, command], env=environment(), start_new_session=True
    )
    pid = stage_pid(tmp_path)
    assert (psutil.Process(pid).ppid() == dvc.pid) is not between
    dvc.kill()  # and nobody reaps it: it stays as a zombie until the end of the test
    assert_left_without_outputs(tmp_path, pid)
    dvc.wait()


@pytest.mark.slow
def test_an_orphan_of_a_real_dvc_repro_stops_without_outputs(tmp_path: Path) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    command = shlex.join([sys.executable, "-m", "helpers.toys", str(tmp_path), "1000000"])
    (tmp_path / "dvc.yaml").write_text(
        f"stages:\n  toy:\n    cmd: {command}\n    outs: [toy.csv]\n"
    )
    repro = subprocess.Popen(
        [*dvc, "repro", "-q"], cwd=tmp_path, env=environment(), start_new_session=True
    )
    pid = stage_pid(tmp_path)
    repro.kill()
    assert_left_without_outputs(tmp_path, pid)
    repro.wait()


def test_a_stage_whose_dvc_died_before_it_began_does_not_train(tmp_path: Path) -> None:
    stage = shlex.join([sys.executable, "-m", "helpers.toys", str(tmp_path), "20"])
    flag = shlex.quote(str(tmp_path / "go"))
    command = f"while [ ! -e {flag} ]; do sleep 0.05; done; {stage}; echo $? > {flag}"
    dvc = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, command], env=environment(), start_new_session=True
    )
    wait_until(lambda: bool(psutil.Process(dvc.pid).children()))
    dvc.kill()
    dvc.wait()
    (tmp_path / "go").touch()
    wait_until(lambda: (tmp_path / "go").read_text() != "")
    assert (tmp_path / "go").read_text().strip() == "129"
    assert not (tmp_path / "toy.safetensors").exists()


def test_a_stage_under_a_living_dvc_trains_to_the_end(tmp_path: Path) -> None:
    stage = shlex.join([sys.executable, "-m", "helpers.toys", str(tmp_path), "20"])
    subprocess.run(
        [sys.executable, "-c", STAND_IN, f"{stage}; true"], env=environment(), check=True
    )
    assert (tmp_path / "toy.safetensors").exists(), (tmp_path / "stderr").read_text()


def test_any_other_stage_ends_with_its_dvc(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, time; from dfpg.training.lock import end_with_owner; end_with_owner(); "
        f"open({str(log)!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    )
    stage = shlex.join([sys.executable, "-c", code])
    dvc = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, f"{stage}; true"],
        env=environment(),
        start_new_session=True,
    )
    wait_until(lambda: log.exists() and log.read_text() != "")
    pid = int(log.read_text())
    dvc.kill()
    dvc.wait()
    wait_until(lambda: not psutil.pid_exists(pid))
