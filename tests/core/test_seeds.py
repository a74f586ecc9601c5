from __future__ import annotations

import hashlib

from dfpg.core.seeds import derive_seed, generator


def test_value_is_sha256_of_seed_and_typed_names():
    digest = hashlib.sha256(b"0/str:batch/str:b/int:7").digest()
    assert derive_seed(0, "batch", "b", 7) == int.from_bytes(digest[:8], "big") >> 1


def test_axes_do_not_run_into_each_other():
    seeds = {
        derive_seed(0, "a", "b"),
        derive_seed(0, "ab"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", "1"),
        derive_seed(0, "a1"),
        derive_seed(1, "a", "b"),
        derive_seed(-1, "a", "b"),
    }
    assert len(seeds) == 7


def test_streams_of_different_axes_are_uncorrelated():
    first = generator(0, "batch", 0).standard_normal(10_000)
    second = generator(0, "batch", 1).standard_normal(10_000)
    assert abs((first * second).mean()) < 0.05
