"""Stage ``priors``: the prior network, and how well it knows people."""

from __future__ import annotations

from dfpg.core.config import load_config
from dfpg.core.paths import PRIORS
from dfpg.data.faces.dataset import load_faces
from dfpg.training.surrogate import build_prior


def priors() -> None:
    """Stage ``priors``: VGGFace from the user's file, or its surrogate."""
    config = load_config()
    source = config.prior.source
    faces, held_out = (load_faces(source, split, "close") for split in ("train", "test"))
    build_prior(config, faces, held_out, PRIORS)
