"""Blur kernels that a session makes once, for all modules and workers that need them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from dfpg.core.config import Config
from dfpg.data.blur.kernels import build_kernels


def copy_kernels(config: Config, folder: Path) -> None:
    """What :func:`build_kernels` writes, of which it takes seconds, copied into ``folder``."""
    facts = f"{config.kernels.model_dump_json()} {config.image_size} {config.seed}"
    made = Path(os.environ["DFPG_TEST_HOME"], "kernels", hashlib.sha256(facts.encode()).hexdigest())
    if not made.is_dir():
        made.parent.mkdir(exist_ok=True)
        own = Path(tempfile.mkdtemp(dir=made.parent)) / "kernels"
        build_kernels(config, own)
        try:
            own.rename(made)
        except OSError:  # another worker was quicker
            shutil.rmtree(own.parent)
    shutil.copytree(made, folder, dirs_exist_ok=True)
