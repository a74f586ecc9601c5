"""Nothing outlives its driver, and the next driver finds what did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dfpg.commands.side_by_side import FOLDER, MARK, Driver, marked_processes
from dfpg.core.errors import UserError
from dfpg.training.lock import StoppedError

ROOT = Path(__file__).resolve().parents[2]
# Runs in the folder that it is given: two tasks at a time, each of which starts a grandchild.
DRIVE = """
import sys
from pathlib import Path
from dfpg.commands.side_by_side import Driver
from dfpg.core.errors import UserError
task = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '3600'])"]
try:
    with Driver(Path(sys.argv[1]), "drive") as driver:
        driver.run({"one": [task], "two": [task]}, 2)
except UserError as error:
    print(error, flush=True)
    sys.exit(error.exit_code)
"""


def wait_until(true: Callable[[], bool], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sleeping(root: Path) -> list[psutil.Process]:
    """Grandchildren of a driver in this project."""
    return [process for process in marked_processes(root) if process.name() == "sleep"]


def start(root: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVE, str(root)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(sleeping(root)) == 2)
    return driver


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_tasks_run_side_by_side_and_say_what_failed(tmp_path, capfd):
    flag = tmp_path / "flag"
    wait = f"import time, pathlib\nwhile not pathlib.Path({str(flag)!r}).exists(): time.sleep(0.01)"
    tasks = {
        "waits": [python(wait + "\nprint('saw it')")],
        "sets": [python("pass"), python(f"open({str(flag)!r}, 'w')")],
        "fails": [python("import sys; sys.exit('no luck')"), python("print('never')")],
    }
    with Driver(tmp_path, "test") as driver:
        assert driver.run(tasks, 2) == ["fails"]
    shown = capfd.readouterr().out
    assert "saw it" in shown
    assert "never" not in shown
    assert f"fails: failed (exit code 1), see {FOLDER / 'fails.log'}" in shown
    assert (tmp_path / FOLDER / "fails.log").read_text() == "no luck\n"
    assert "(3 of 3)" in shown


def test_each_of_several_has_one_thread_and_one_alone_has_all(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'])"
    with Driver(tmp_path, "test") as driver:
        driver.run({"a": [[*python(code), "a"]], "b": [[*python(code), "b"]]}, 2)
        driver.run({"c": [[*python(code), "c"]]})
    assert [(tmp_path / name).read_text() for name in "abc"] == ["1", "1", "7"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_with_one_line(tmp_path, number):
    driver = start(tmp_path)
    driver.send_signal(number)
    assert driver.communicate(timeout=600)[0] == (
        f"drive: stopped ({signal.Signals(number).name}); run again to go on\n"
    )
    assert driver.returncode == 128 + number
    assert not list(marked_processes(tmp_path))


@pytest.mark.parametrize("whole_group", [False, True], ids=["driver", "group"])
def test_a_killed_driver_leaves_nothing_for_long(tmp_path, whole_group):
    driver = start(tmp_path)
    children = {one.pid for one in marked_processes(tmp_path) if one.ppid() == driver.pid}
    assert len(children) == 2
    if whole_group:
        os.killpg(driver.pid, signal.SIGKILL)
    else:
        driver.kill()
    driver.communicate()
    if sys.platform == "linux":
        wait_until(lambda: children.isdisjoint({one.pid for one in marked_processes(tmp_path)}))
    assert sleeping(tmp_path)  # what the children had started is left ...
    with Driver(tmp_path, "test"):
        assert not list(marked_processes(tmp_path))  # ... until somebody begins again


def test_a_killed_child_is_a_failed_task(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with Driver(tmp_path, "test") as driver:
        assert driver.run({"dies": [python(code)], "lives": [python("pass")]}, 2) == ["dies"]


def test_one_driver_at_a_time(tmp_path):
    driver = start(tmp_path)
    with (
        pytest.raises(UserError, match=f"process {driver.pid} runs here already"),
        Driver(tmp_path, "test"),
    ):
        pass
    assert len(sleeping(tmp_path)) == 2  # it has stopped nobody
    driver.terminate()
    driver.communicate()


def test_what_another_project_runs_is_left_alone(tmp_path):
    other = subprocess.Popen(["sleep", "3600"], env=os.environ | {MARK: str(tmp_path / "other")})
    with Driver(tmp_path, "test"):
        assert other.poll() is None
    other.kill()
    other.wait()


def test_a_task_that_ignores_sigterm_is_killed(tmp_path):
    log = tmp_path / FOLDER / "stubborn.log"
    stubborn = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint(1)\ntime.sleep(3600)"
    ends = (
        f"import os, pathlib, time\nlog = pathlib.Path({str(log)!r})\n"
        "while not log.exists() or not log.read_text(): time.sleep(0.02)\n"
        f"os.kill({os.getpid()}, 15)"
    )
    tasks = {"stubborn": [[sys.executable, "-u", "-c", stubborn]], "ends": [python(ends)]}
    with pytest.raises(StoppedError), Driver(tmp_path, "test", patience=0.3) as driver:
        driver.run(tasks, 2)
    assert not list(marked_processes(tmp_path))
