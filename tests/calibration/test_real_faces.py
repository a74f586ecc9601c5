"""Detection and verification of real faces: CelebA's test people, cropped as published."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.places import ROOT, SHARED

from dfpg.analysis.estimates import Estimate
from dfpg.analysis.observations import load_observations
from dfpg.analysis.recognition import estimate_table3
from dfpg.analysis.verification import ALIGNMENTS, MODES, verification_measures, verification_pairs
from dfpg.core.config import NOMINAL_SIZES, Config
from dfpg.core.files import read_image
from dfpg.core.profile import resolve_profile
from dfpg.core.seeds import generator
from dfpg.data.blur.degrade import add_noise, blur, quantise_unit, to_unit
from dfpg.data.blur.kernels import make_kernels
from dfpg.data.faces.dataset import FaceSet
from dfpg.evaluation.recognition.observe import Recogniser
from dfpg.evaluation.recognition.references import CELEBA_CROP, build_references, load_references
from dfpg.metrics.detection import DlibHog
from dfpg.pretrained.assets.store import FOLDER
from dfpg.pretrained.detector import FaceDetector
from dfpg.pretrained.embedder import FaceEmbedder

CELEBA = SHARED / "data" / "celeba"
ASSETS = ROOT / FOLDER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CELEBA.is_dir(), reason="needs shared/data/celeba (DFPG_SHARED)"),
    pytest.mark.skipif(not ASSETS.is_dir(), reason="needs the assets (dfpg fetch)"),
]


@dataclass
class Probes:
    """One picture of every person: what a test set of protocol A holds."""

    sharp: np.ndarray
    blurred: np.ndarray
    index: pd.DataFrame


def celeba_people() -> FaceSet:
    tables = [
        pd.read_csv(CELEBA / name, sep=" ", names=["file", column], dtype={"file": str})
        for name, column in (("identity_CelebA.txt", "person"), ("list_eval_partition.txt", "part"))
    ]
    rows = tables[0].merge(tables[1])
    rows = rows[rows["part"] == 2].sort_values("file")
    rows = rows[rows["person"].map(rows["person"].value_counts()) > 1]
    pictures = [read_image(CELEBA / "img_align_celeba" / name)[CELEBA_CROP] for name in rows.file]
    points = np.full((len(rows), 5, 2), np.nan, np.float32)
    return FaceSet(np.stack(pictures), tuple(map(str, rows.person)), tuple(rows.file), points)


def probes_of(faces: FaceSet, config: Config) -> Probes:
    """The first picture of every person, and it blurred by a test kernel of protocol A."""
    first = [faces.people.index(person) for person in sorted(set(faces.people))]
    sharp = faces.pictures[first]
    banks = [make_kernels(config, "trajectory", "test", size) for size in NOMINAL_SIZES]
    rng = generator(0, "celeba noise")
    blurred = []
    for number, picture in enumerate(sharp):
        bank = banks[number % len(banks)]
        kernel = torch.from_numpy(bank[number // len(banks) % len(bank)][None])
        image = to_unit(torch.from_numpy(picture[None])).permute(0, 3, 1, 2)
        noise = torch.from_numpy(rng.standard_normal(image.shape, np.float32))
        level = config.protocols["a"].test.noise
        image = add_noise(blur(image, kernel), noise, level, white=1)
        blurred.append(quantise_unit(image)[0].permute(1, 2, 0).numpy())
    index = pd.DataFrame(
        {
            "image": np.arange(len(first)),
            "subset": "celeba",
            "mode": "center",
            "person": [faces.people[row] for row in first],
            "face": [faces.names[row] for row in first],
            "sharp": np.arange(len(first)),
            "kernel": 0,
            "size": [NOMINAL_SIZES[number % len(banks)] for number in range(len(first))],
        }
    )
    return Probes(sharp, np.stack(blurred), index)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """The CSVs that `evaluate baselines` would write."""
    folder = tmp_path_factory.mktemp("celeba")
    config = resolve_profile("paper")[0]
    faces = celeba_people()
    probes = probes_of(faces, config)
    scrfd = FaceDetector(ASSETS / "scrfd.onnx")
    embedder = FaceEmbedder(ASSETS / "mobilefacenet.onnx")
    build_references(config, probes, faces, scrfd, embedder, folder / "references")
    recogniser = Recogniser(DlibHog(), scrfd, embedder, load_references(folder / "references"))
    recogniser("a", "sharp", probes.index, probes.sharp)
    recogniser("a", "blurred", probes.index, probes.blurred)
    recogniser.write(folder / "recognition" / "baselines.csv")
    return config, folder


def test_sharp_faces_are_found_and_told_apart(artifacts):
    config, folder = artifacts
    observations = load_observations(config, folder)
    found = estimate_table3(config, observations)
    assert found is not None
    for key, bounds in found.values.items():
        print(*key, show(bounds))
    for method in ("sharp", "blurred"):
        for mode in MODES:
            for alignment in ALIGNMENTS:
                pairs = verification_pairs(observations, method, mode, alignment)
                for name, bounds in verification_measures(config, pairs, mode).items():
                    print(method, mode, alignment, name, show(bounds), "dropped", pairs.dropped)
    assert found.images == found.people >= 290
    assert found.values["sharp", "dlib_hog"].mean >= 95
    assert found.values["sharp", "scrfd"].mean >= 99
    assert found.values["sharp", "strict_detected"].mean >= 93
    for convention in ("dlib_hog", "strict_detected"):
        assert found.values["blurred", convention].high < found.values["sharp", convention].low


def show(bounds: Estimate) -> str:
    return "{:.3f} [{:.3f}, {:.3f}]".format(*bounds)
