"""How good a model for faces at 128 px is: PSNR above the blurred input, on people never seen.

Generated faces are the test sets of both protocols, as the stage ``testsets`` makes them. CelebA's
are made by the same function from the user's copy: one picture of each of the first test people,
in the official 128-px crop. Of real people only numbers are kept. The sharp faces of protocol B's
sets are also blurred by kernels of every size, of both families
(:mod:`dfpg.commands.deblur.shipped.by_size`), and by the user's measured kernels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from dfpg.analysis.estimates import kernel_names
from dfpg.analysis.people_bootstrap import mean_interval
from dfpg.analysis.strata import make_stratum
from dfpg.commands.deblur.restore import Restorer
from dfpg.commands.deblur.shipped.by_size import IMAGES as IMAGES_PER_SIZE
from dfpg.commands.deblur.shipped.by_size import (
    SizeGain,
    as_images,
    faces_of,
    gains_by_size,
    gains_of_kernels,
)
from dfpg.commands.deblur.shipped.measured_kernels import read_kernels
from dfpg.core.config import Config, ProtocolName, Subset
from dfpg.core.errors import UserError
from dfpg.core.paths import KERNELS, TESTSETS
from dfpg.core.progress import Progress
from dfpg.data.blur.degrade import quantise, to_signed
from dfpg.data.blur.kernels import FAMILIES, load_kernels
from dfpg.data.faces.celeba import CROP, CelebA
from dfpg.data.faces.dataset import FaceSet, reframe
from dfpg.data.faces.source import CLOSE_SIDE
from dfpg.data.testsets import TestSet, build_testset, open_testset
from dfpg.methods.base import Method
from dfpg.methods.registry import build_restorer
from dfpg.metrics.psnr import psnr

PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
PEOPLE = 120  # of CelebA's test split
IMAGES = 240  # of CelebA, per protocol
BATCH = 16
BY_SIZE: ProtocolName = "b"  # whose sharp faces are blurred by kernels of every size


@dataclass(frozen=True)
class Gain:
    """Mean PSNR per image in dB; the gain is restored minus blurred, with its interval."""

    images: int
    people: int
    blurred: float
    restored: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Measured:
    """What a model gains.

    Attributes:
        sets: by set of test images: ``generated_a``, ``generated_b``, ``celeba_a``, ``celeba_b``.
        sizes: by kernel size, of generated faces and CelebA's.
        kernels: under the user's measured kernels, likewise; empty where there are none.
    """

    sets: dict[str, Gain]
    sizes: list[SizeGain]
    kernels: list[SizeGain]


def measure(
    config: Config,
    weights: Path,
    device: torch.device,
    celeba: Path | None,
    kernels: Path | None,
    images: int = IMAGES_PER_SIZE,
    sets: bool = True,
) -> Measured:
    """Gains of a model: on the test sets in fp32, by size in the precision of ``dfpg deblur``.

    Args:
        config: names seed, test sets and statistics.
        weights: of the model.
        device: where it computes.
        celeba: folder as its owners distribute it; None: only generated faces are measured.
        kernels: file of measured kernels; None: there are none.
        images: per kernel size and family, and per measured kernel.
        sets: whether to measure on the test sets, too.

    Raises:
        UserError: the weights, the kernels, the test sets or CelebA are missing or damaged.
    """
    method, restorer = build_restorer(weights, device), Restorer(weights, device)
    own = {} if kernels is None else read_kernels(kernels, config.image_size)
    banks = [load_kernels(KERNELS / f"{family}.safetensors") for family in FAMILIES]
    found = Measured({}, [], [])
    protocols = PROTOCOLS if sets else (BY_SIZE,)
    for source, protocol, opened in _testsets(config, celeba, protocols):
        with opened as testset:
            if sets:
                found.sets[f"{source}_{protocol}"] = score(config, method, device, testset)
            if protocol == BY_SIZE:
                faces = faces_of(testset, source)
                found.sizes.extend(gains_by_size(config, restorer, faces, banks, images))
                if own:
                    found.kernels.extend(gains_of_kernels(config, restorer, faces, own, images))
    return found


def _testsets(
    config: Config, celeba: Path | None, protocols: Sequence[ProtocolName]
) -> Iterator[tuple[str, ProtocolName, AbstractContextManager[TestSet]]]:
    """Source, protocol and test set of what is measured, opened when it is its turn."""
    for protocol in protocols:
        yield "generated", protocol, nullcontext(open_testset(TESTSETS / protocol))
    if celeba is not None:
        faces = celeba_faces(celeba, PEOPLE)
        for protocol in protocols:
            yield "celeba", protocol, celeba_testset(config, protocol, faces)


def celeba_faces(root: Path, people: int) -> FaceSet:
    """The first picture of each of the first ``people`` test people, close, in order of files.

    Raises:
        UserError: the folder is not CelebA as released, or holds fewer test people.
    """
    source = CelebA(root)
    rows = source.index[source.index["split"] == "test"].drop_duplicates("person").head(people)
    if len(rows) < people:
        raise UserError(f"{root}: {len(rows)} test people, {people} are wanted")
    framed = [source.frame(file) for file in rows["file"]]
    faces = FaceSet(
        np.stack([face.picture for face in framed]),
        tuple(rows["person"]),
        tuple(rows["file"]),
        np.stack([face.landmarks for face in framed]),
    )
    return reframe(faces, source.close)


@contextmanager
def celeba_testset(config: Config, protocol: ProtocolName, faces: FaceSet) -> Iterator[TestSet]:
    """These faces in the official crop under one protocol, in a temporary folder."""
    settings = config.protocols[protocol]
    subset = Subset(source="celeba", crop=CROP.side / CLOSE_SIDE)
    changes = {
        "subsets": {"celeba": subset},
        "modes": ["center"],
        "faces_per_subset": len(faces.people),
        "images_per_subset": IMAGES,
    }
    test = settings.test.model_copy(update=changes)
    protocols = config.protocols | {protocol: settings.model_copy(update={"test": test})}
    config = config.model_copy(update={"protocols": protocols})
    kernels = load_kernels(KERNELS / f"{settings.kernels}.safetensors")
    with tempfile.TemporaryDirectory(prefix="dfpg.") as folder:
        build_testset(config, protocol, kernels, {"celeba": faces}, Path(folder))
        yield open_testset(Path(folder))


def score(config: Config, method: Method, device: torch.device, testset: TestSet) -> Gain:
    """Restore a test set; people are drawn within each subset."""
    index, values = testset.index, []
    with Progress("restore", len(index), "image") as progress, torch.inference_mode():
        for start in range(0, len(index), BATCH):
            rows = index.iloc[start : start + BATCH]
            sharp = as_images(testset.sharp[rows["sharp"]]).to(device)
            blurred = as_images(testset.blurred[rows["image"]]).to(device)
            restored = quantise(method.restore(to_signed(blurred)))
            values.append(torch.stack([psnr(blurred, sharp), psnr(restored, sharp)], 1).cpu())
            progress.advance(len(rows))
    table = torch.cat(values).numpy()
    table = np.column_stack([table, table[:, 1] - table[:, 0]])
    settings = config.statistics
    strata = [
        make_stratum(
            table[part.index],
            list(part["person"]),
            settings.resamples,
            config.seed,
            str(name),
            kernels=kernel_names(part),
        )
        for name, part in index.groupby("subset")
    ]
    found = mean_interval(strata, settings.level)
    blurred, restored, gain = found.mean.round(3).tolist()
    low, high = (bound[2].round(3).item() for bound in (found.low, found.high))
    people = int(index["person"].nunique())
    return Gain(len(index), people, blurred, restored, gain, low, high)
