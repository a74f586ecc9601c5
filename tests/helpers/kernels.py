"""Blur kernels that a session makes once, for all modules and workers that need them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pytest

from dfpg.core.config import Config
from dfpg.data.blur import blind
from dfpg.data.blur.kernels import Family, KernelBank, build_kernels, load_kernels


def kernels_folder(config: Config) -> Path:
    """What :func:`build_kernels` writes, of which it takes seconds: to be read only."""
    facts = f"{config.kernels.model_dump_json()} {config.image_size} {config.seed}"
    made = Path(os.environ["DFPG_TEST_HOME"], "kernels", hashlib.sha256(facts.encode()).hexdigest())
    made.parent.mkdir(exist_ok=True)
    with (made.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may make them now
        if not made.is_dir():
            part = made.with_suffix(".part")
            build_kernels(config, part)
            part.rename(made)
    return made


def copy_kernels(config: Config, folder: Path) -> None:
    """:func:`kernels_folder`, copied into ``folder``."""
    shutil.copytree(kernels_folder(config), folder, dirs_exist_ok=True)


def kernel_bank(config: Config, family: Family) -> KernelBank:
    """What :func:`make_kernels` draws of a family, in all sizes and splits."""
    return load_kernels(kernels_folder(config) / f"{family}.safetensors")


@contextmanager
def few_sizes_of_motion() -> Iterator[None]:
    """Let blind degradations draw camera shake of three sizes: of every size it takes seconds.

    What is kept of it is seen by nobody else.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blind, "MOTION_SIZES", blind.MOTION_SIZES[::4])
        patch.setattr(blind, "motion_kernels", lru_cache(blind.motion_kernels.__wrapped__))
        yield
