"""Gain by kernel size, and where a model harms: the network alone, and as ``dfpg deblur`` uses it.

``dfpg deblur`` leaves a face as it was where the network would hardly change it
(:func:`dfpg.commands.deblur.restore.is_too_small`). So every image is judged twice: as the network
restores it, and under that rule, where a face that is left gains 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfpg.analysis.people_bootstrap import LEAST_PEOPLE, mean_interval
from dfpg.analysis.strata import make_stratum
from dfpg.commands.deblur.restore import LEAST_CHANGE, Restorer, change_size
from dfpg.commands.deblur.shipped.blur import SIDES, count_kernels, kernel_of_side
from dfpg.core.config import Config
from dfpg.core.markdown import markdown_table
from dfpg.core.progress import Progress
from dfpg.core.seeds import generator
from dfpg.data.blur.degrade import add_noise, blur, quantise_unit, to_unit
from dfpg.data.blur.kernels import KernelBank
from dfpg.data.testsets import TestSet
from dfpg.methods.batch import NO_BLUR
from dfpg.metrics.psnr import psnr

IMAGES = 60  # per size and family
NOISE = 2.55  # grey levels, of the faces without blur that have noise: protocol A's
ALL = "all"  # name of the row of all measured kernels
HARM_DB = 0.1  # a face that loses more than this is harmed

Bounds = tuple[float | None, float | None, float | None]  # mean, low, high
NO_GAIN: Bounds = (None, None, None)


class Faces(NamedTuple):
    """Sharp faces RGB uint8 [F, H, W, 3] of one source, and the person in each."""

    source: str
    sharp: NDArray[np.uint8]
    people: tuple[str, ...]


@dataclass(frozen=True)
class SizeGain:
    """What becomes of faces under kernels of one size: means over images.

    Attributes:
        faces: their source.
        kernels: family; ``none`` without blur; ``measured``: the user's.
        name: side of the kernels in px at 128 px; for measured ones their name, or ``all``.
        noise: standard deviation, grey levels.
        images, people: how many.
        blurred: PSNR of the input, dB; None where it is infinite.
        restored: PSNR of what the network alone makes, dB.
        gain, low, high: ``restored`` minus ``blurred``, dB, with its interval; None where
            ``blurred`` is infinite, or where there are too few people for an interval.
        left: share of the faces that the rule leaves as they were.
        rule_gain, rule_low, rule_high: gain under the rule, likewise, without an interval where
            almost all are left; where ``blurred`` is infinite it is 0 if all are left, else None.
        harmed: share of the faces that lose more than ``HARM_DB`` under the rule; where ``blurred``
            is infinite, of those that are not left.
    """

    faces: str
    kernels: str
    name: str
    noise: float
    images: int
    people: int
    blurred: float | None
    restored: float
    gain: float | None
    low: float | None
    high: float | None
    left: float
    rule_gain: float | None
    rule_low: float | None
    rule_high: float | None
    harmed: float


class Scores(NamedTuple):
    """Per image: PSNR of the input and of the network's result, dB; size of the change."""

    blurred: NDArray[np.float64]
    restored: NDArray[np.float64]
    change: NDArray[np.float64]  # grey levels, root mean square

    @property
    def left(self) -> NDArray[np.bool_]:
        """Whether ``dfpg deblur`` leaves the image as it was."""
        left: NDArray[np.bool_] = self.change < LEAST_CHANGE
        return left


def faces_of(testset: TestSet, source: str) -> Faces:
    """The sharp faces of a test set."""
    people = testset.index.drop_duplicates("sharp").sort_values("sharp")
    return Faces(source, testset.sharp[people["sharp"]], tuple(people["person"]))


def gains_by_size(
    config: Config, restorer: Restorer, faces: Faces, banks: Sequence[KernelBank], images: int
) -> Iterator[SizeGain]:
    """Without blur, without and with noise; then by family for every side of ``SIDES``.

    Args:
        config: names seed, image size and statistics.
        restorer: what restores.
        faces: of which ``images`` are taken, spread evenly.
        banks: of whose test kernels.
        images: per row, at most one of each face.
    """
    chosen = _spread(faces, images)
    numbers = range(len(chosen.people))
    groups: list[tuple[str, Mapping[int, NDArray[np.float32]], int, float]] = [
        ("none", {}, NO_BLUR, 0.0),
        ("none", {}, NO_BLUR, NOISE),
        *((bank.family, bank.test, side, 0.0) for bank in banks for side in SIDES),
    ]
    with Progress(f"kernel sizes, {faces.source}", len(groups), "size") as progress:
        for family, kernels, side, noise in groups:
            blurs = [kernel_of_side(kernels, side, n, config.image_size) for n in numbers]
            found = _score(config, restorer, chosen.sharp, blurs, noise)
            names = [str(n % count_kernels(kernels, side)) for n in numbers] if side else None
            yield _row(config, chosen, family, str(side), noise, found, names)
            progress.advance()


def gains_of_kernels(
    config: Config,
    restorer: Restorer,
    faces: Faces,
    kernels: Mapping[str, NDArray[np.float32]],
    images: int,
) -> Iterator[SizeGain]:
    """For all measured kernels together, then for each.

    Arguments are those of :func:`gains_by_size`; each kernel blurs ``images`` faces.
    """
    chosen = _spread(faces, images)
    parts = {}
    with Progress(f"measured kernels, {faces.source}", len(kernels), "kernel") as progress:
        for name, kernel in kernels.items():
            same = [kernel] * len(chosen.people)
            parts[name] = _score(config, restorer, chosen.sharp, same, 0.0)
            progress.advance()
    every = Scores(*(np.concatenate(columns) for columns in zip(*parts.values(), strict=True)))
    people = chosen.people * len(parts)
    names = [name for name in parts for _ in chosen.people]
    yield _row(config, chosen._replace(people=people), "measured", ALL, 0.0, every, names)
    for name, found in parts.items():
        yield _row(config, chosen, "measured", name, 0.0, found, None)


def _spread(faces: Faces, images: int) -> Faces:
    """At most ``images`` of the faces, spread evenly."""
    places = np.linspace(0, len(faces.people) - 1, min(images, len(faces.people))).round()
    rows = places.astype(np.int64)
    return Faces(faces.source, faces.sharp[rows], tuple(faces.people[row] for row in rows))


def blur_faces(
    sharp: NDArray[np.uint8],
    kernels: Sequence[NDArray[np.float32]],
    noise: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Faces [N, H, W, 3], each blurred by its own kernel [K, K], with noise, in 8 bits.

    Args:
        sharp: uint8 [N, H, W, 3].
        kernels: all of one side.
        noise: standard deviation, grey levels.
        rng: draws it.
    """
    images = blur(to_unit(as_images(sharp)), torch.from_numpy(np.stack(kernels)))
    samples = torch.from_numpy(rng.standard_normal(tuple(images.shape), np.float32))
    noisy = quantise_unit(add_noise(images, samples, noise, white=1))
    pictures: NDArray[np.uint8] = noisy.permute(0, 2, 3, 1).contiguous().numpy()
    return pictures


def judge(restorer: Restorer, sharp: NDArray[np.uint8], blurred: NDArray[np.uint8]) -> Scores:
    """Restore pictures uint8 [N, H, W, 3] and compare with the sharp ones."""
    change = restorer.change(blurred)
    restored = np.clip(np.rint(blurred + change), 0, 255).astype(np.uint8)
    target = as_images(sharp)
    before, after = (
        psnr(as_images(images), target).double().numpy() for images in (blurred, restored)
    )
    return Scores(before, after, np.array([change_size(part) for part in change]))


def _score(
    config: Config,
    restorer: Restorer,
    sharp: NDArray[np.uint8],
    kernels: Sequence[NDArray[np.float32]],
    noise: float,
) -> Scores:
    rng = generator(config.seed, "shipped", "by size")
    return judge(restorer, sharp, blur_faces(sharp, kernels, noise, rng))


def as_images(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 [N, H, W, 3] as [N, 3, H, W]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)


def _row(
    config: Config,
    faces: Faces,
    kernels: str,
    name: str,
    noise: float,
    found: Scores,
    kernel_names: Sequence[str] | None,
) -> SizeGain:
    """Means over images, with intervals over people, and over kernels where they are named."""
    if np.isfinite(found.blurred).all():
        blurred = round(float(found.blurred.mean()), 3)
        gains = found.restored - found.blurred
        ruled = np.where(found.left, 0.0, gains)
        table = np.column_stack([gains, ruled])
        network, rule = _intervals(config, faces, table, kernel_names)
        if np.count_nonzero(~found.left) < LEAST_PEOPLE:
            rule = (rule[0], None, None)
        harmed = ruled < -HARM_DB
    else:  # the input equals the sharp face, which any change harms
        blurred, network, harmed = None, NO_GAIN, ~found.left
        rule = (0.0 if found.left.all() else None, None, None)
    return SizeGain(
        faces.source,
        kernels,
        name,
        noise,
        len(found.left),
        len(set(faces.people)),
        blurred,
        round(float(found.restored.mean()), 3),
        *network,
        round(float(found.left.mean()), 3),
        *rule,
        round(float(harmed.mean()), 3),
    )


def _intervals(
    config: Config,
    faces: Faces,
    table: NDArray[np.float64],
    kernel_names: Sequence[str] | None,
) -> tuple[Bounds, Bounds]:
    """Mean, low and high of two columns [N, 2]."""
    settings = config.statistics
    stratum = make_stratum(
        table, faces.people, settings.resamples, config.seed, faces.source, kernels=kernel_names
    )
    found = mean_interval([stratum], settings.level)
    first, second = zip(found.mean, found.low, found.high, strict=True)
    return _bounds(first), _bounds(second)


def _bounds(values: Sequence[float]) -> Bounds:
    mean, low, high = (round(float(x), 3) if np.isfinite(x) else None for x in values)
    return mean, low, high


def size_table(rows: Sequence[SizeGain]) -> str:
    """The rows as a table in Markdown, dB."""
    headings = ["faces", "kernels", "px or name", "blurred", "network alone"]
    headings += ["left as it was", "with the rule", "harmed"]
    lines = []
    for row in rows:
        noise = f" and noise of {row.noise} grey levels" if row.noise else ""
        network = _gain(row.gain, row.low, row.high) or f"comes out at {row.restored:.1f} dB"
        lines.append(
            (
                row.faces,
                row.kernels + noise,
                row.name,
                "infinite" if row.blurred is None else f"{row.blurred:.2f}",
                network,
                f"{row.left:.0%}",
                _gain(row.rule_gain, row.rule_low, row.rule_high),
                f"{row.harmed:.0%}",
            )
        )
    return markdown_table(headings, lines)


def _gain(mean: float | None, low: float | None, high: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:+.2f}" + ("" if low is None else f" [{low:.2f}, {high:.2f}]")
