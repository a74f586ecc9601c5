"""Does a network know people: area under the ROC curve of same/different pairs, with interval.

The interval is a bootstrap over people, because pictures of one person are not independent: a
person drawn m times weighs m in each of its own pairs, and m n in pairs with one drawn n times.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import auc, roc_curve

from dfpg.core.errors import UserError
from dfpg.core.seeds import generator

CHUNK = 100  # resamples at a time: bounds memory to CHUNK x pairs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures: same person (first half) and different people (second half).

    Attributes:
        first, second: indices of the pictures, int [P].
        first_person, second_person: indices of their people, int [P].
        n_people: number of people in the set the pairs are drawn from.
    """

    first: Ints
    second: Ints
    first_person: Ints
    second_person: Ints
    n_people: int

    @property
    def same(self) -> NDArray[np.bool_]:
        """Whether the two pictures show one person, bool [P]."""
        return np.equal(self.first_person, self.second_person)


def draw_pairs(people: Sequence[str], seed: int) -> Pairs:
    """All same-person pairs (i, j), each beside a pair (i, k) with k of another person.

    Args:
        people: name of the person in each picture.
        seed: of the draw of k, uniform over all pictures of other people.

    Raises:
        UserError: fewer than two people, or nobody with two pictures.
    """
    names, person = np.unique(np.asarray(people), return_inverse=True)
    first, second = np.triu_indices(len(person), 1)
    same = person[first] == person[second]
    first, second = first[same], second[same]
    if len(names) < 2 or len(first) == 0:
        raise UserError(
            f"verification needs two people and two pictures of one; found {len(names)} people in "
            f"{len(person)} pictures"
        )
    stream = generator(seed, "verification pairs")
    other = stream.integers(len(person), size=len(first))
    while (clash := person[other] == person[first]).any():
        other[clash] = stream.integers(len(person), size=int(clash.sum()))
    left, right = np.concatenate([first, first]), np.concatenate([second, other])
    return Pairs(left, right, person[left], person[right], len(names))


def cosines(embeddings: NDArray[np.floating], pairs: Pairs) -> Floats:
    """Cosine similarity of each pair, float64 [P], from embeddings [N, D]."""
    unit = embeddings.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    products: Floats = np.einsum("nd,nd->n", unit[pairs.first], unit[pairs.second])
    return products


def pair_weights(pairs: Pairs, draws: Ints) -> Floats:
    """How often each pair occurs, [R, P], when person k was drawn ``draws[r, k]`` times."""
    first, second = draws[:, pairs.first_person], draws[:, pairs.second_person]
    return np.where(pairs.same, first, first * second).astype(np.float64)


def auc_intervals(
    scores: dict[str, Floats], pairs: Pairs, seed: int, resamples: int, level: float
) -> dict[str, Interval]:
    """AUC of each network on the same pairs, and what the last one gains over the first.

    Equal scores of a same-person and a different-person pair count half.

    Args:
        scores: similarities [P] by name; with two or more, ``gain`` is added to the result.
        pairs: what was scored.
        seed: of the bootstrap; all networks see the same resamples, so ``gain`` is paired.
        resamples: number of bootstrap resamples.
        level: of the percentile interval, in (0, 1).
    """
    stream = generator(seed, "verification bootstrap")
    drawn: dict[str, list[float]] = {name: [] for name in scores}
    for start in range(0, resamples, CHUNK):
        count = min(CHUNK, resamples - start)
        draw = stream.multinomial(
            pairs.n_people, np.full(pairs.n_people, 1 / pairs.n_people), count
        )
        weights = pair_weights(pairs, draw)
        for name, values in scores.items():
            drawn[name] += [_auc(values, pairs, row) for row in weights]
    samples = {name: np.array(values) for name, values in drawn.items()}
    points = {name: _auc(values, pairs) for name, values in scores.items()}
    if len(scores) > 1:
        first, *_, last = scores
        samples["gain"] = samples[last] - samples[first]
        points["gain"] = points[last] - points[first]
    tails = [(1 - level) / 2, (1 + level) / 2]
    return {
        name: Interval(point, *(float(q) for q in np.nanquantile(samples[name], tails)))
        for name, point in points.items()
    }


def _auc(scores: Floats, pairs: Pairs, weights: Floats | None = None) -> float:
    """Area of weighted pairs; NaN where one of the two kinds has no weight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        # A third of roc_auc_score's time, of which a bootstrap takes thousands.
        far, tar, _ = roc_curve(pairs.same, scores, sample_weight=weights, drop_intermediate=False)
    return float(auc(far, tar))
