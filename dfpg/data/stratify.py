"""Which faces meet which kernels in a test set: disjoint people, stratified pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.core.config import NOMINAL_SIZES, Config, ProtocolName
from dfpg.core.errors import UserError
from dfpg.core.seeds import generator
from dfpg.data.faces.dataset import FaceSet


class Pair(NamedTuple):
    """A face of a subset, blurred by one of the subset's kernels; sorted by size first."""

    size: int
    face: int
    kernel: int


def split_people(
    config: Config, protocol: ProtocolName, faces: Mapping[str, FaceSet]
) -> dict[str, list[str]]:
    """People of every subset: those of a source are dealt out, each to one subset only."""
    subsets = config.protocols[protocol].test.subsets
    people: dict[str, list[str]] = {}
    for source in sorted({subset.source for subset in subsets.values()}):
        stream = generator(config.seed, "testset", protocol, "people", source)
        everyone = stream.permutation(sorted(set(faces[source].people))).tolist()
        names = [name for name, subset in subsets.items() if subset.source == source]
        people |= {name: everyone[i :: len(names)] for i, name in enumerate(names)}
    return people


def choose_faces(
    faces: FaceSet, people: Sequence[str], count: int, stream: np.random.Generator
) -> list[int]:
    """Rows of ``count`` pictures: one per person, then a second one each, and so on.

    Raises:
        UserError: the people have less than ``count`` pictures.
    """
    pictures: dict[str, list[int]] = {person: [] for person in people}
    for row in stream.permutation(len(faces.people)).tolist():
        if faces.people[row] in pictures:
            pictures[faces.people[row]].append(row)
    deepest = max(map(len, pictures.values()), default=0)
    chosen = [
        pictures[person][turn]
        for turn in range(deepest)
        for person in people
        if turn < len(pictures[person])
    ]
    if len(chosen) < count:
        raise UserError(
            f"faces_per_subset: {count} pictures asked for, but the {len(people)} people of a "
            f"subset have {len(chosen)}: lower it or supply more faces"
        )
    return chosen[:count]


def choose_pairs(
    people: Sequence[str],
    kernels_per_size: int,
    count: int | None,
    stream: np.random.Generator,
) -> list[Pair]:
    """Which face meets which kernel.

    Args:
        people: the person of each face.
        kernels_per_size: kernels of each nominal size, 0 ... kernels_per_size - 1.
        count: number of pairs; ``None``: every face with every kernel.
        stream: draws the pairs.

    Returns:
        Distinct pairs, sorted. With a ``count``, images per nominal size differ by at most one, and
        so do images per person until a person runs out of new pairs; a person's images are spread
        over the sizes, and a size's images over its kernels.

    Raises:
        UserError: more pairs asked for than there are.
    """
    faces, sizes = len(people), len(NOMINAL_SIZES)
    cells = [(s, f, k) for s in range(sizes) for f in range(faces) for k in range(kernels_per_size)]
    if count is None or count == len(cells):
        return [Pair(NOMINAL_SIZES[s], f, k) for s, f, k in cells]
    if count > len(cells):
        raise UserError(
            f"images_per_subset: {count} asked for, but {faces} faces x {sizes} sizes x "
            f"{kernels_per_size} kernels make {len(cells)}: lower it, or null for all"
        )
    names, owner = np.unique(np.array(people), return_inverse=True)
    used = np.zeros((sizes, faces, kernels_per_size), np.int64)
    size_order = stream.permutation(sizes)
    waiting = np.ones(len(names), np.bool_)
    for image in range(count):
        if image % len(names) == 0:
            waiting[:] = True
        size = size_order[image % sizes]
        open_faces = used[size].sum(1) < kernels_per_size
        candidates = open_faces & waiting[owner]
        if not candidates.any():
            candidates = open_faces
        per_person = np.bincount(owner, used[size].sum(1), minlength=len(names))
        face = pick_least_loaded(candidates, stream, per_person[owner], used.sum((0, 2)))
        kernel = pick_least_loaded(used[size, face] == 0, stream, used[size].sum(0))
        used[size, face, kernel] = 1
        waiting[owner[face]] = False
    return [Pair(NOMINAL_SIZES[s], f, k) for s, f, k in np.argwhere(used).tolist()]


def pick_least_loaded(
    candidates: NDArray[np.bool_], stream: np.random.Generator, *loads: NDArray[np.number]
) -> int:
    """Candidate with the least load, by the first load first; ties are drawn."""
    keys = (stream.random(len(candidates)), *reversed(loads), ~candidates)
    return int(np.lexsort(keys)[0])


def first_kernel(config: Config, protocol: ProtocolName, subset: int) -> int:
    """Index, within every size, of a subset's first test kernel.

    Protocol B gives every subset kernels of its own; in protocol A the subsets share all 80.

    Raises:
        UserError: there are too few test kernels.
    """
    settings = config.protocols[protocol]
    count = settings.test.kernels_per_size
    first = subset * count if settings.kernels == "spline" else 0
    available = (
        config.kernels.spline.test
        if settings.kernels == "spline"
        else config.kernels.trajectory.test // len(NOMINAL_SIZES)
    )
    if first + count > available:
        name = list(settings.test.subsets)[subset]
        raise UserError(
            f"kernels.{settings.kernels}.test: {available} kernels per size, but subset {name} of "
            f"protocol {protocol} needs {first + count}"
        )
    return first


def pick_one_per_person(rows: pd.DataFrame, people: int, stream: np.random.Generator) -> list[int]:
    """Labels of rows of a test set's index: one of each of ``people`` people, sizes spread evenly.

    People are drawn; each gives the image whose nominal kernel size there is least of yet.
    """
    used: Counter[int] = Counter()
    chosen: list[int] = []
    for person in stream.permutation(sorted(set(rows["person"])))[:people]:
        sizes = rows.loc[rows["person"] == person, "size"]
        row = min(sizes.index, key=lambda row: (used[sizes[row]], row))
        used[sizes[row]] += 1
        chosen.append(row)
    return chosen
