"""The ``verify`` stage: data and assets are what this version of the suite was measured with."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from dfpg.core.config import PARAMS, load_config, sources
from dfpg.core.errors import UserError
from dfpg.core.files import sha256, write_text
from dfpg.core.listing import list_images
from dfpg.core.paths import ARTIFACTS
from dfpg.core.terminal import say
from dfpg.data.faces.dataset import check_source
from dfpg.methods.registry import check_options
from dfpg.pretrained.assets.store import verify_assets

DATA = Path("data")


def verify() -> None:
    """Stage ``verify``: parameters are valid, data and assets are the pinned ones."""
    config = load_config()
    for where, source in sources(config).items():
        check_source(config, source, f"{PARAMS}: {where}")
    check_options(config)
    counts = {"data_files": verify_data(), "asset_files": verify_assets()}
    write_text(ARTIFACTS / "verified.json", json.dumps(counts) + "\n")
    say(f"verified {counts['data_files']} data files and {counts['asset_files']} asset files")


def read_manifest() -> dict[str, str]:
    """Pinned SHA-256 of every file under ``data/``, by path relative to it."""
    text = files("dfpg.data.faces").joinpath("embedded.sha256").read_text()
    return {name: digest for digest, name in (line.split("  ", 1) for line in text.splitlines())}


def list_files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under ``folder``, by relative path, sorted.

    Hidden files and what systems leave behind are passed over.
    """
    found = list_images(folder)
    return {name: sha256(folder / name) for name in sorted((*found.images, *found.others))}


def verify_data(folder: Path = DATA) -> int:
    """Compare a folder with the manifest.

    Returns:
        The number of files checked.

    Raises:
        UserError: first file that changed, is missing, or does not belong there.
    """
    pinned = read_manifest()
    found = list_files(folder)
    advice = f"restore it with `git checkout -- {folder}`"
    for name, digest in pinned.items():
        if name not in found:
            raise UserError(f"{folder / name}: missing; {advice}")
        if found[name] != digest:
            raise UserError(f"{folder / name}: changed (SHA-256 {found[name][:12]}...); {advice}")
    for name in found:
        if name not in pinned:
            raise UserError(f"{folder / name}: not part of the pinned data; remove it")
    return len(found)


def manifest_text(folder: Path) -> str:
    """The manifest of a folder, in the format of ``sha256sum``."""
    return "".join(f"{digest}  {name}\n" for name, digest in list_files(folder).items())
