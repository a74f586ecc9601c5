"""Random streams named by axes, so that no two parts of the suite share one by accident."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *axes: str | int) -> int:
    """Seed of the stream named by ``axes``: the first 63 bits of SHA-256 of seed and names.

    Args:
        seed: the run's seed, any integer; 0 is a seed like any other.
        axes: names and indices, outermost first, e.g. ``("batch", "b", 120)``.

    Returns:
        An integer in [0, 2**63), the same on every machine.
    """
    text = "/".join([f"{seed:d}", *(f"{type(axis).__name__}:{axis}" for axis in axes)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *axes: str | int) -> np.random.Generator:
    """NumPy generator (PCG64) of the stream named by ``axes``; see :func:`derive_seed`."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *axes)))
