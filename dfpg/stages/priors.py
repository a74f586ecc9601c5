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
    build_prior(config, load_faces(source, "train"), load_faces(source, "test"), PRIORS)
