"""How good a model for faces at 128 px is: PSNR above the blurred input, on people never seen.

Generated faces are the test sets of both protocols, as the stage ``testsets`` makes them. CelebA's
are made by the same function from the user's copy: one picture of each of the first test people,
in the official 128-px crop. Of real people only numbers are kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from dfpg.analysis.estimates import kernel_names
from dfpg.analysis.people_bootstrap import mean_interval
from dfpg.analysis.strata import make_stratum
from dfpg.core.config import Config, ProtocolName, Subset
from dfpg.core.errors import UserError
from dfpg.core.paths import KERNELS, TESTSETS
from dfpg.core.progress import Progress
from dfpg.data.blur.degrade import quantise, to_signed
from dfpg.data.blur.kernels import load_kernels
from dfpg.data.faces.celeba import CROP, CelebA
from dfpg.data.faces.dataset import FaceSet, reframe
from dfpg.data.faces.source import CLOSE_SIDE
from dfpg.data.testsets import TestSet, build_testset, open_testset
from dfpg.methods.base import Method
from dfpg.metrics.psnr import psnr

PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
PEOPLE = 120  # of CelebA's test split
IMAGES = 240  # of CelebA, per protocol
BATCH = 16


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


def measure(
    config: Config, method: Method, device: torch.device, celeba: Path | None
) -> dict[str, dict[str, float]]:
    """Gains by set of test images: ``generated_a``, ``generated_b``, ``celeba_a``, ``celeba_b``.

    Args:
        config: names seed, test sets and statistics.
        method: what restores.
        device: where it computes.
        celeba: folder as its owners distribute it; None: only generated faces are measured.

    Raises:
        UserError: the test sets or CelebA are missing or damaged.
    """
    found: dict[str, dict[str, float]] = {}
    for protocol in PROTOCOLS:
        testset = open_testset(TESTSETS / protocol)
        found[f"generated_{protocol}"] = asdict(score(config, method, device, testset))
    if celeba is not None:
        faces = celeba_faces(celeba, PEOPLE)
        for protocol in PROTOCOLS:
            with celeba_testset(config, protocol, faces) as testset:
                found[f"celeba_{protocol}"] = asdict(score(config, method, device, testset))
    return found


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
            sharp = _images(testset.sharp[rows["sharp"]], device)
            blurred = _images(testset.blurred[rows["image"]], device)
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


def _images(pictures: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """uint8 [N, H, W, 3] as [N, 3, H, W] on ``device``."""
    return torch.from_numpy(np.asarray(pictures)).permute(0, 3, 1, 2).to(device)
