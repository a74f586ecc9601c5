"""Faces that look alike across splits and sources, found by their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

# Cosine of two MobileFaceNet embeddings from which two pictures count as alike. Measured on CelebA:
# 62 % of the pairs of one person reach it, and 4 of 2,500 pictures reach it with one of 1,500
# pictures of other people.
ALIKE = 0.5
CHUNK = 1024  # pictures compared at a time
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Pruning:
    """What the comparison leaves.

    Attributes:
        kept: by source, which rows of its index stay, bool [N].
        found: pictures alike to a test face, by source, split, and source of the test face. One
            picture may count for several.
    """

    kept: dict[str, Bools]
    found: dict[str, dict[str, dict[str, int]]]


def are_alike(pictures: Floats, others: Floats) -> Bools:
    """Which of the unit vectors [N, D] are alike to one of [M, D]."""
    parts = [
        (pictures[start : start + CHUNK] @ others.T >= ALIKE).any(1)
        for start in range(0, len(pictures), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.bool_)


def prune(indexes: Mapping[str, pd.DataFrame], embeddings: Mapping[str, Floats]) -> Pruning:
    """Drop people so that no test face looks like a face of training, validation or another test.

    Between test faces of two sources, those of the source with more of them go. A person goes as a
    whole: with all pictures in the split that the alike one is in.

    Args:
        indexes: person and split of every picture, by source.
        embeddings: unit vectors [N, D], by source, row by row.
    """
    pruning = Pruning(
        {name: np.ones(len(index), np.bool_) for name, index in indexes.items()},
        {name: {} for name in indexes},
    )
    sizes = {name: int((index["split"] == "test").sum()) for name, index in indexes.items()}
    tests: dict[str, Floats] = {}
    for name in sorted(indexes, key=lambda name: (sizes[name], name)):
        _drop(pruning, name, "test", indexes[name], embeddings[name], tests)
        rows = pruning.kept[name] & (indexes[name]["split"] == "test").to_numpy()
        tests[name] = embeddings[name][rows]
    for name, index in indexes.items():
        for split in ("train", "val"):
            _drop(pruning, name, split, index, embeddings[name], tests)
    return pruning


def _drop(
    pruning: Pruning,
    name: str,
    split: str,
    index: pd.DataFrame,
    embeddings: Floats,
    tests: Mapping[str, Floats],
) -> None:
    """Drop the people of one split of a source who are alike to given test faces."""
    rows = np.flatnonzero(index["split"] == split)
    hits = {other: are_alike(embeddings[rows], faces) for other, faces in tests.items()}
    counts = {other: int(hit.sum()) for other, hit in hits.items() if hit.any()}
    if counts:
        pruning.found[name][split] = counts
        people = index["person"].to_numpy()[rows]
        gone = set(people[np.any(list(hits.values()), axis=0)])
        pruning.kept[name][rows[[person in gone for person in people]]] = False


def group_alike(index: pd.DataFrame, embeddings: Floats, kept: Bools) -> pd.DataFrame:
    """The index of a set without identities, with alike faces of a split as one person.

    A person is named after the first of the alike pictures; likeness is transitive here.
    """
    people = index["person"].to_numpy(object).copy()
    for split in set(index["split"]):
        rows = np.flatnonzero(kept & (index["split"] == split).to_numpy())
        if not len(rows):
            continue
        _, photographs = np.unique(people[rows].astype(str), return_inverse=True)
        links = sparse.vstack(
            [
                sparse.csr_array(
                    (photographs[part, None] == photographs)
                    | (embeddings[rows[part]] @ embeddings[rows].T >= ALIKE)
                )
                for part in np.array_split(np.arange(len(rows)), -(-len(rows) // CHUNK))
            ]
        )
        _, group = connected_components(links, directed=False)
        _, first = np.unique(group, return_index=True)
        people[rows] = people[rows[first[group]]]
    return index.assign(person=people)
