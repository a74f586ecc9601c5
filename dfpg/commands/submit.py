"""Take another code's output for an exported test set as a row of the tables."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dfpg.analysis.submissions import (
    CARD,
    FOLDER,
    OBSERVED,
    PER_IMAGE,
    SubmissionCard,
    reference_hashes,
)
from dfpg.commands.export import INDEX, file_names
from dfpg.core.config import Config, ProtocolName, load_config
from dfpg.core.errors import UserError
from dfpg.core.files import FOLDER_NAME, atomic_folder, read_image, read_json, write_text
from dfpg.core.listing import list_images, normalise_name
from dfpg.evaluation.per_image import KEYS, read_per_image
from dfpg.paper.tables import (
    BASELINES,
    CLASSICAL,
    RECOGNITION,
    TABLES,
    TEST_IMAGES,
    UNTRAINED_FILES,
)

if TYPE_CHECKING:
    from torch import Tensor

    from dfpg.data.testsets import TestSet


def submit(name: str, restored: Path, protocol: str, paper: str, by: str, force: bool) -> str:
    """Score restored images as the stage ``evaluate`` does and store the scores under ``name``.

    Args:
        name: of the row.
        restored: folder laid out like the export's blurred images.
        protocol: "a" or "b".
        paper: what the images come from, for the column ``note``.
        by: who submits.
        force: replace an earlier submission of that name.

    Returns:
        What was stored, and what to do next.

    Raises:
        UserError: bad name or protocol, an image is missing, unreadable or of another size, or a
            stage has not run. Nothing is stored then.
    """
    from dfpg.core.config import protocol_name
    from dfpg.core.paths import ARTIFACTS, PRIORS, REFERENCES, TESTSETS
    from dfpg.data.testsets import MANIFEST, TestSet, open_testset
    from dfpg.pretrained.vggface import read_card

    config = load_config()
    check_name(config, name)
    chosen = protocol_name(protocol)
    target = FOLDER / name
    if target.exists() and not force:
        raise UserError(f"{target}: exists: name it otherwise, or replace it with --force")
    testset = open_testset(TESTSETS / chosen)
    images = read_submission(testset, chosen, restored)
    recognised = chosen == RECOGNITION.protocol
    pairs, embedder = reference_hashes(REFERENCES) if recognised else (None, None)
    card = SubmissionCard(
        name=name,
        protocol=chosen,
        paper=paper,
        by=by,
        profile=config.profile,
        image_size=config.image_size,
        images=len(images),
        testset=read_json(TESTSETS / chosen / MANIFEST)["sha256"],
        restored=hashlib.sha256(images.tobytes()).hexdigest(),
        prior=str(read_card(PRIORS)["sha256"]),
        pairs=pairs,
        embedder=embedder,
        blurred=blurred_means(ARTIFACTS / "per_image" / "baselines.csv", chosen),
    )
    _store(config, card, TestSet(testset.sharp, images, testset.index), target)
    values = read_per_image(target / PER_IMAGE)["psnr"]
    finite = values[np.isfinite(values)]  # infinite where an image equals its sharp one
    equal = len(values) - len(finite)
    mean = f"{finite.mean():.2f} dB" if len(finite) else "infinite"
    others = f" over {len(finite)}, {equal} equal to their sharp images" if equal else ""
    return (
        f"{target}: {len(images)} images of test set {TEST_IMAGES[chosen]}, PSNR {mean}{others} "
        f"(blurred: {card.blurred['psnr']:.2f} dB); `dvc repro tables` adds the row"
    )


def remove(name: str) -> str:
    """Delete a submission; says so.

    Raises:
        UserError: there is none of that name.
    """
    target = FOLDER / name
    if not FOLDER_NAME.fullmatch(name) or not (target / CARD).is_file():
        known = ", ".join(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}"))) or "none"
        raise UserError(f"{name}: no such submission; there are: {known}")
    shutil.rmtree(target)
    return f"{target}: removed; `dvc repro tables` takes the row out"


def check_name(config: Config, name: str) -> None:
    """Refuse a name that no folder should have, or that a row has already.

    Raises:
        UserError: see above.
    """
    if not FOLDER_NAME.fullmatch(name):
        raise UserError(f"{name!r}: a name has small letters, digits, _ and -, such as mynet_a")
    taken = {*UNTRAINED_FILES, *BASELINES, *CLASSICAL, *config.runs}
    taken |= {row.key for table in TABLES for row in table.rows}
    if name in taken:
        raise UserError(f"{name}: is a row of the suite already: choose another name")


def read_submission(testset: TestSet, protocol: ProtocolName, restored: Path) -> NDArray[np.uint8]:
    """Restored images uint8 [N, H, W, 3] in the order of the test set.

    Args:
        testset: the protocol's test set.
        protocol: "a" or "b".
        restored: folder that holds every path of the export's column ``blurred``.

    Raises:
        UserError: an image is missing, unreadable or of another size.
    """
    found = {normalise_name(file): restored / file for file in list_images(restored).images}
    names = file_names(protocol, testset.index)["blurred"].tolist()
    absent = [name for name in names if normalise_name(name) not in found]
    if absent:
        raise UserError(
            f"{restored / absent[0]}: missing ({len(absent)} of {len(names)} are): paths and names "
            f"must be those of the column `blurred` in the export's {INDEX}"
        )
    images = np.empty_like(testset.blurred)
    height, width = images.shape[1:3]
    for name, image in zip(names, testset.index["image"], strict=True):
        pixels = read_image(found[normalise_name(name)])
        if pixels.shape != (height, width, 3):
            raise UserError(
                f"{restored / name}: {pixels.shape[1]} x {pixels.shape[0]} px instead of "
                f"{width} x {height}: keep the size of the exported image"
            )
        images[image] = pixels
    return images


def blurred_means(path: Path, protocol: ProtocolName) -> dict[str, float]:
    """Mean of every metric over the protocol's blurred images.

    Raises:
        UserError: the stage ``baselines`` has not run.
    """
    scores = read_per_image(path)
    rows = scores[(scores["method"] == "blurred") & (scores["test_set"] == TEST_IMAGES[protocol])]
    means = rows.drop(columns=list(KEYS)).mean().round(6)
    return {str(name): float(value) for name, value in means.items()}


def _store(config: Config, card: SubmissionCard, restored: TestSet, target: Path) -> None:
    """Score and write all files into a hidden folder, which then takes its place as a whole."""
    from dfpg.core.device import select_device
    from dfpg.core.paths import PRIORS
    from dfpg.evaluation.recognition.observe import build_recogniser
    from dfpg.evaluation.score import score_testsets
    from dfpg.metrics.registry import build_metrics
    from dfpg.pretrained.vggface import load_prior

    def identity(images: Tensor) -> Tensor:
        return images

    device = select_device()
    metrics = build_metrics(config, load_prior(PRIORS), device)
    recogniser = build_recogniser(config) if card.pairs else None
    with atomic_folder(target) as new:
        sets: dict[ProtocolName, TestSet] = {card.protocol: restored}
        scores = new / PER_IMAGE
        score_testsets(config, card.name, identity, sets, metrics, scores, str(device), recogniser)
        if recogniser is not None:
            recogniser.write(new / OBSERVED)
        write_text(new / CARD, json.dumps(card.model_dump(), indent=2) + "\n")
