"""Stage ``fetch``: the pinned files that others trained."""

from __future__ import annotations

from dfpg.pretrained.assets.store import fetch as fetch_assets


def fetch() -> None:
    """Stage ``fetch``: fetch, verify and unpack the assets that every run needs."""
    fetch_assets()
