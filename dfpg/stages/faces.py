"""Stage ``faces``: the user's own photographs, framed and split."""

from __future__ import annotations

from dfpg.core.config import load_config, sources
from dfpg.data.faces.dataset import EMBEDDED, JOIN, PREPARED
from dfpg.data.faces.prepare import SUMMARY, prepare_faces
from dfpg.data.faces.summary import summarise_prepared


def faces() -> str:
    """Stage ``faces``: prepare the photographs of all sources but the embedded one; says what."""
    config = load_config()
    names = {name for source in sources(config).values() for name in source.split(JOIN)}
    prepare_faces(config, sorted(names - {EMBEDDED}), PREPARED)
    return summarise_prepared(PREPARED / SUMMARY)
