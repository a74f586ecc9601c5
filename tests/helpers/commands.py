"""The command line, many commands one after the other in one process of its own."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.toys import forkserver

from dfpg.data.blur import kernels

LIMIT_S = 3600  # all of a call's commands; what takes longer hangs
CAPABILITIES_VERSION = 0x20080522


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code, its standard error and its standard output.

    Bytes that are no UTF-8 are lone surrogates.
    """

    command: tuple[str, ...]
    code: int
    error: str
    output: str

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.error or self.code not in (0, 1, 2)


def obey_permissions() -> None:
    """Let permission bits bind this process even where it runs as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capset")


def use_assets(folder: str) -> None:
    """Let this process find the networks of others."""
    os.environ["DFPG_ASSETS"] = folder


def use_kernels(assets: str, made: Path) -> None:
    """:func:`use_assets`, and let kernels that were made before stand for those that are made."""
    use_assets(assets)
    kernels.build_kernels = lambda _, out: shutil.copytree(made, out)


def run_commands(
    folder: Path,
    commands: Sequence[Sequence[str]],
    log: Path,
    prepare: Callable[[], None] | None = None,
    output: Path | None = None,
) -> list[Said]:
    """Run ``dfpg`` commands in a folder, in one process.

    Args:
        folder: current folder of the commands.
        commands: their arguments.
        log: folder for what they say.
        prepare: is called first, in that process.
        output: what standard output goes to instead of being kept.
    """
    log.mkdir(parents=True, exist_ok=True)
    arguments = (folder, [tuple(command) for command in commands], log, prepare, output)
    process = forkserver().Process(target=_child, args=arguments)
    process.start()
    process.join(LIMIT_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{(log / 'progress').read_text()}\n{(log / 'hung').read_text()}")
    found = json.loads((log / "said.json").read_text())
    return [Said(tuple(command), *rest) for command, *rest in found]


def _child(
    folder: Path,
    commands: Sequence[tuple[str, ...]],
    log: Path,
    prepare: Callable[[], None] | None,
    output: Path | None,
) -> None:
    from dfpg.cli import main

    faulthandler.dump_traceback_later(LIMIT_S - 10, file=(log / "hung").open("w"))
    os.chdir(folder)
    os.environ.pop("DFPG_ASSETS", None)  # without networks of others, no command takes long
    os.environ["XDG_CACHE_HOME"] = str(log)
    if prepare:
        prepare()
    found = []
    for number, command in enumerate(commands):
        with (log / "progress").open("a") as file:
            file.write(f"{command}\n")
        kept = [log / f"{number}.{name}" for name in ("stderr", "stdout")]
        for descriptor, target in ((1, output or kept[1]), (2, kept[0])):
            opened = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
            os.dup2(opened, descriptor)
            os.close(opened)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (closed with the process)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["dfpg", *command]
        code = 0
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 0
        except BaseException:
            traceback.print_exc()
            code = -1
        sys.stderr.flush()
        texts = [p.read_text(errors="surrogateescape") if p.exists() else "" for p in kept]
        found.append((command, code, *texts))
    (log / "said.json").write_text(json.dumps(found))
    os._exit(0)
