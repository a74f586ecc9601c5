"""DVC in processes that are forked from one that has imported it: each call saves a second."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.toys import forkserver

from dfpg.commands import dvc_calls


@contextmanager
def quick_dvc() -> Iterator[None]:
    """Let `dfpg.commands.dvc_calls` start DVC so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dvc_calls, "subprocess", Forked)
        yield


class Forked:
    """What `dvc_calls` uses of the module `subprocess`."""

    @staticmethod
    def run(
        command: Sequence[str], cwd: Path, env: Mapping[str, str], **_: Any
    ) -> subprocess.CompletedProcess[str]:
        assert tuple(command[:3]) == dvc_calls.DVC
        with tempfile.TemporaryDirectory() as folder:
            kept = [Path(folder) / name for name in ("stdout", "stderr")]
            arguments = (list(command[3:]), cwd, dict(env), kept)
            process = forkserver().Process(target=_child, args=arguments)
            process.start()
            process.join()
            texts = [path.read_text() for path in kept]
        return subprocess.CompletedProcess(list(command), process.exitcode or 0, *texts)


def _child(arguments: list[str], folder: Path, env: dict[str, str], kept: list[Path]) -> None:
    from dvc.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    for descriptor, path in enumerate(kept, 1):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (closed with the process)
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    sys.argv = ["dvc", *arguments]
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
