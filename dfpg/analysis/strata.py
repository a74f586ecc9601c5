"""Per-image scores grouped by the units that are drawn: people, and kernels.

Pictures of one person are not independent, nor are images of one kernel. A :class:`Stratum` has
the sums and counts of each unit, from which means, variances and resamples follow without the
images. A kernel that several strata share is one unit of their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dfpg.core.seeds import generator

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]
ROUNDING = 1e-10  # a variance below this share of its terms is rounding error


@dataclass(frozen=True)
class Stratum:
    """Scores of C columns (methods x metrics) on one set of people.

    A unit is a person or, where kernels are drawn too, a person under one kernel.

    Attributes:
        sums: [U, C] sum of each unit's per-image values.
        counts: [U] number of images of each unit.
        draws: [R, P] how often each resample draws each person.
        person: [U] number of each unit's person; None: every unit is a person.
        kernel: [U] number of each unit's kernel; None: kernels are not drawn.
        kernel_draws: [R, K] how often each resample draws each kernel.
        kernel_names: [K]; a name is one kernel in all strata.
        stream: seed and name of the random stream that draws the kernels.
    """

    sums: Array
    counts: Array
    draws: Array
    person: Numbers | None = None
    kernel: Numbers | None = None
    kernel_draws: Array | None = None
    kernel_names: tuple[str, ...] = ()
    stream: tuple[int, tuple[str | int, ...]] = (0, ())

    @property
    def people(self) -> int:
        """Number of people."""
        return int(self.draws.shape[1])

    def by_person(self) -> Stratum:
        """The same scores with people as units."""
        if self.person is None:
            return self
        return _group_units(self, self.person, self.draws)

    def by_kernel(self) -> Stratum | None:
        """The same scores with kernels as units, drawn as people are; None where they are not."""
        if self.kernel is None or self.kernel_draws is None:
            return None
        return _group_units(self, self.kernel, self.kernel_draws)

    def resampled_means(self) -> Array:
        """Per-image mean of every resample of people and kernels, [R, C].

        The shifts of both add. The kernels' is scaled by one number, so that what single images
        add, which the people's has already, is not counted twice.
        """
        people = self.by_person()
        moved = per_image_mean(people) + resample(people)[0]
        kernels = self.by_kernel()
        if kernels is None:
            return moved
        images, both = (variance_of_mean(part).sum() for part in (separate_units(self), kernels))
        share = max(1 - images / both, 0.0) if both > 0 else 0.0
        return np.asarray(moved + np.sqrt(share) * resample(kernels)[0])


def draw_people(people: int, resamples: int, seed: int, *axes: str | int) -> Array:
    """Resamples of ``people`` people with replacement, as counts [R, P] that sum to P.

    One such matrix serves every method and metric of a subset, so that differences are paired.
    """
    rng = generator(seed, "bootstrap", *axes)
    shares = np.full(people, 1 / people)
    return rng.multinomial(people, shares, size=resamples).astype(np.float64)


def make_stratum(
    values: ArrayLike,
    people: Sequence[str],
    resamples: int,
    seed: int,
    *axes: str | int,
    kernels: Sequence[str] | None = None,
) -> Stratum:
    """Aggregate per-image values [N, C] by people [N], and kernels [N], and draw the resamples.

    Of one kernel alone nothing can be drawn: the interval is then over people.
    """
    table = np.asarray(values, dtype=np.float64)
    names, person = np.unique(np.asarray(people, dtype=str), return_inverse=True)
    draws = draw_people(len(names), resamples, seed, *axes)
    if kernels is None or len(set(kernels)) < 2:
        return Stratum(*_total(table, np.ones(len(table)), person, len(names)), draws)
    labels, kernel = np.unique(np.asarray(kernels, dtype=str), return_inverse=True)
    unit, place = np.unique(person * len(labels) + kernel, return_inverse=True)
    return Stratum(
        *_total(table, np.ones(len(table)), place, len(unit)),
        draws,
        unit // len(labels),
        unit % len(labels),
        draw_people(len(labels), resamples, seed, "kernels", *axes),
        tuple(labels.tolist()),
        (seed, ("kernels", *axes)),
    )


def kernel_strata(strata: Sequence[Stratum]) -> list[Stratum]:
    """The strata with kernels as units, one where they share some; empty where none are drawn."""
    parts = [part for part in (stratum.by_kernel() for stratum in strata) if part is not None]
    if len(parts) < len(strata):
        return []
    names = [name for stratum in strata for name in stratum.kernel_names]
    shared = len(parts) > 1 and len(set(names)) < len(names)
    return [_join_kernels(strata, parts)] if shared else parts


def _join_kernels(strata: Sequence[Stratum], parts: Sequence[Stratum]) -> Stratum:
    """One stratum with the kernels of all as units, whose mean is the mean over the strata."""
    names = sorted({name for stratum in strata for name in stratum.kernel_names})
    place = {name: number for number, name in enumerate(names)}
    images = sum(part.counts.sum() for part in parts)
    mean = np.mean([per_image_mean(part) for part in parts], axis=0)
    sums, counts = np.zeros((len(names), len(mean))), np.zeros(len(names))
    for stratum, part in zip(strata, parts, strict=True):
        own = [place[name] for name in stratum.kernel_names]
        weight = images / (len(parts) * part.counts.sum())
        counts[own] += weight * part.counts
        sums[own] += weight * (_residuals(part, per_image_mean(part)) + np.outer(part.counts, mean))
    seed, axes = strata[0].stream
    return Stratum(sums, counts, draw_people(len(names), len(parts[0].draws), seed, *axes))


def per_image_mean(stratum: Stratum) -> Array:
    """Per-image mean [C]."""
    return np.asarray(stratum.sums.sum(axis=0) / stratum.counts.sum())


def variance_of_mean(stratum: Stratum) -> Array:
    """Variance [C] of the mean, the units independent; NaN without a finite mean."""
    mean, units = per_image_mean(stratum), len(stratum.counts)
    if units < 2:
        return np.full_like(mean, np.nan)
    squares = (_residuals(stratum, mean) ** 2).sum(axis=0)
    variance = units / (units - 1) * squares / stratum.counts.sum() ** 2
    return np.where(np.isfinite(mean), variance, np.nan)


def _total(values: Array, counts: Array, group: Numbers, groups: int) -> tuple[Array, Array]:
    """Sums [G, C] and counts [G] of the rows of each group."""
    sums = np.zeros((groups, values.shape[1]))
    np.add.at(sums, group, values)
    return sums, np.bincount(group, counts, groups).astype(np.float64)


def _group_units(stratum: Stratum, group: Numbers, draws: Array) -> Stratum:
    """A stratum whose units are groups of the units given."""
    return Stratum(*_total(stratum.sums, stratum.counts, group, draws.shape[1]), draws)


def separate_units(stratum: Stratum) -> Stratum:
    """A stratum whose units are taken as independent."""
    return Stratum(stratum.sums, stratum.counts, stratum.draws)


def _residuals(stratum: Stratum, centre: Array) -> Array:
    """Each person's sum minus what the mean predicts, [P, C]; zero in columns without a mean."""
    finite = np.isfinite(centre)
    residuals = np.zeros_like(stratum.sums)
    residuals[:, finite] = stratum.sums[:, finite] - np.outer(stratum.counts, centre[finite])
    return residuals


def resample(stratum: Stratum) -> tuple[Array, Array]:
    """Shift of each resample's mean from the sample's, and its own variance, both [R, C]."""
    people, residuals = len(stratum.counts), _residuals(stratum, per_image_mean(stratum))
    counts = stratum.counts[:, None]
    images = stratum.draws @ counts
    shift = stratum.draws @ residuals / images
    squares = stratum.draws @ residuals**2
    spread = squares - 2 * shift * (stratum.draws @ (residuals * counts))
    spread += shift**2 * (stratum.draws @ counts**2)
    spread[spread < ROUNDING * squares] = 0.0
    return shift, spread * people / max(people - 1, 1) / images**2
