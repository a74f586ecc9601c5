"""Reference pictures of Table 3: one of the same and one of another person, per test person.

Negatives are drawn so that folds can be people-disjoint: the test people are shuffled and cut into
groups of two (a last one of three), and each person's negative shows the next person of the group.
No pair then joins two groups, and every person is as often the negative as the probe. With the
published lists a group is whoever a chain of negatives joins, which is one person nearly always.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dfpg.core.csv_files import from_csv, to_csv
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.seeds import generator
from dfpg.data.faces.dataset import FaceSet

POSITIVES, NEGATIVES = "shen_celeba_positive_mod.txt", "shen_celeba_negative_mod.txt"


class Pair(NamedTuple):
    """References of one test person; pictures are file names, or paths of published lists."""

    person: str
    positive: str
    negative: str
    negative_person: str


def draw_pairs(faces: FaceSet, probes: Sequence[str], seed: int) -> list[Pair]:
    """Pairs of the people whose pictures ``probes`` are test images, sorted by person.

    A reference is no test image itself where the person has another picture. People with a single
    picture have no positive and are left out, as one of the authors' hundred is.

    Args:
        faces: the pictures of the source's test people.
        probes: file names of the test images' sharp faces.
        seed: of the draw.
    """
    pictures: dict[str, list[str]] = {}
    for person, name in zip(faces.people, faces.names, strict=True):
        pictures.setdefault(person, []).append(name)
    tested = set(probes)
    people = sorted(p for p, names in pictures.items() if len(names) > 1 and tested & set(names))
    if len(people) < 2:
        return []
    stream = generator(seed, "verification", "references")
    order = [people[i] for i in stream.permutation(len(people))]
    positive, other = {}, {}
    for person in people:
        drawn = [sorted(pictures[person])[i] for i in stream.permutation(len(pictures[person]))]
        drawn.sort(key=lambda name: name in tested)  # stable: pictures that are no probes first
        positive[person], other[person] = drawn[0], drawn[1]
        if drawn[1] in tested:
            other[person] = drawn[0]
    pairs = []
    for group in group_people(order):
        for place, person in enumerate(group):
            following = group[(place + 1) % len(group)]
            pairs.append(Pair(person, positive[person], other[following], following))
    return sorted(pairs)


def group_people(order: Sequence[str]) -> list[Sequence[str]]:
    """Groups of two in the order given; the last has three where the count is odd."""
    count = len(order) // 2
    return [order[2 * i : 2 * i + 2 if i < count - 1 else None] for i in range(count)]


def read_published(folder: Path, people: Sequence[tuple[str, str]]) -> list[Pair]:
    """Pairs of the published lists, for test faces that are named by their index there.

    Args:
        folder: holds ``POSITIVES`` and ``NEGATIVES``, lines ``<index> <CelebA file>``.
        people: (person, file name) of the test faces; the name's stem is the index.

    Raises:
        UserError: a list is missing or has another format, or no test face is on both.
    """
    positives, negatives = (_read_list(folder / name) for name in (POSITIVES, NEGATIVES))
    pairs = []
    for person, name in sorted(set(people)):
        index = Path(name).stem
        if index in positives and index in negatives:
            negative = negatives[index]
            pairs.append(Pair(person, positives[index], negative, f"person in {negative}"))
    if not pairs:
        raise UserError(
            f"{folder}: no test face is named by an index of the lists: the published pairs belong "
            "to the Shen test set; set recognition.published_pairs to null to draw pairs"
        )
    return pairs


def _read_list(path: Path) -> dict[str, str]:
    try:
        pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return {pair[0]: pair[1] for pair in pairs if pair}
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"{path}: no list of lines '<index> <CelebA file>'; supply it") from error


def write_pairs(pairs: Sequence[Pair], path: Path) -> None:
    """Write the list as CSV."""
    frame = pd.DataFrame(pairs, columns=list(Pair._fields))
    write_text(path, to_csv(frame, index=False))


def read_pairs(path: Path) -> list[Pair]:
    """Read what :func:`write_pairs` wrote.

    Raises:
        UserError: missing or damaged.
    """
    try:
        text = io.StringIO(path.read_text(encoding="utf-8"))
        frame = from_csv(pd.read_csv(text, dtype=str, keep_default_na=False))
        return [Pair(*row) for row in frame[list(Pair._fields)].to_numpy().tolist()]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: no list of pairs; run `dfpg evaluate baselines`") from error


def groups_of(pairs: Sequence[Pair]) -> dict[str, int]:
    """Number of the group of each person: people whom a chain of negative pairs joins."""
    root: dict[str, str] = {}

    def find(person: str) -> str:
        while root.setdefault(person, person) != person:
            person = root[person]
        return person

    for pair in pairs:
        root[find(pair.person)] = find(pair.negative_person)
    numbers: dict[str, int] = {}
    return {
        pair.person: numbers.setdefault(find(pair.person), len(numbers)) for pair in sorted(pairs)
    }


def deal_folds(groups: dict[str, int], folds: int, seed: int) -> dict[str, int]:
    """Fold of each person: groups are shuffled and dealt to the fold with the fewest people.

    There are fewer folds where there are fewer groups. Every person has as many positive as
    negative pairs, so the folds are stratified.
    """
    members = np.bincount(list(groups.values()), minlength=1)
    load = np.zeros(min(folds, len(members)), np.int64)
    fold_of = {}
    order = generator(seed, "verification", "folds").permutation(len(members))
    for group in sorted(order.tolist(), key=lambda g: -members[g]):
        fold_of[group] = int(load.argmin())
        load[fold_of[group]] += members[group]
    return {person: fold_of[group] for person, group in groups.items()}
