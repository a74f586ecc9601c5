"""Rows of other codes: what ``dfpg submit`` stored, read by the stage ``tables``; no torch.

``submissions/NAME`` holds ``per_image.csv``, for protocol A ``recognition.csv``, and ``card.json``.
The folder is versioned by git, and a test set is not: what was scored on another test set, or with
another network, keeps its row and loses the values, with the reason in the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from dfpg.analysis.observations import Observations
from dfpg.analysis.read_once import Reader, read_once
from dfpg.analysis.tolerances import TRAINED, UNTRAINED
from dfpg.core.config import Config, Frozen, Name, ProtocolName, validation_message
from dfpg.core.errors import UserError
from dfpg.core.files import read_json, sha256
from dfpg.evaluation.per_image import KEYS, read_per_image, read_recognition
from dfpg.evaluation.recognition.references import EMBEDDER_CARD, PAIRS, table3_rows
from dfpg.paper.tables import RECOGNITION, TEST_IMAGES, Row, Table

FOLDER = Path("submissions")
PER_IMAGE, OBSERVED, CARD = "per_image.csv", "recognition.csv", "card.json"
SAME_IMAGES = [name for name in KEYS if name != "method"]


class SubmissionCard(Frozen):
    """What a submission is, and what it was scored with.

    ``testset`` has the SHA-256 of the test set's files and ``restored`` that of the submitted
    pixels in the order of its index; ``blurred`` the mean of every metric over the blurred images,
    by which a later run notices another test set or another network.
    """

    name: Name
    protocol: ProtocolName
    paper: str
    by: str
    profile: str
    image_size: int
    images: int
    testset: dict[str, str]
    restored: str
    prior: str
    pairs: str | None
    embedder: str | None
    blurred: dict[str, float]


@dataclass(frozen=True)
class Submission:
    """One submission as today's tables can take it.

    Attributes:
        card: see :class:`SubmissionCard`.
        scores: per-image scores; None where they belong to another test set. A metric by another
            network is NaN throughout.
        recognition: Table 3's rows; None likewise, and for protocol B.
        reason: why there is no ``scores``, else why there is no ``recognition``.
    """

    card: SubmissionCard
    scores: pd.DataFrame | None
    recognition: pd.DataFrame | None
    reason: str


def load_submissions(
    config: Config, folder: Path, artifacts: Path, baselines: pd.DataFrame
) -> list[Submission]:
    """All submissions, sorted by name; none where the folder is missing or empty.

    Args:
        config: its runs' names are taken.
        folder: of submissions.
        artifacts: folder with ``references``.
        baselines: per-image scores that hold the method ``blurred``.

    Raises:
        UserError: a submission is damaged, or has the name of a run.
    """
    cards = sorted(folder.glob(f"[!.]*/{CARD}"))
    return [_load(config, path.parent, artifacts, baselines) for path in cards]


def read_submission_card(folder: Path) -> SubmissionCard:
    """The card of one submission.

    Raises:
        UserError: missing or damaged.
    """
    path = folder / CARD
    try:
        return SubmissionCard.model_validate(read_json(path))
    except ValidationError as error:
        raise UserError(f"{validation_message(path, error)}: submit it again") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: missing or damaged: submit it again, or remove it") from error


def _load(config: Config, folder: Path, artifacts: Path, baselines: pd.DataFrame) -> Submission:
    card = read_submission_card(folder)
    if card.name != folder.name:
        raise UserError(f"{folder / CARD}: names {card.name!r}: rename the folder to that")
    if card.name in config.runs:
        raise UserError(f"{folder}: {card.name} is a run of params.yaml: rename the submission")
    scores = _read(read_per_image, folder / PER_IMAGE, card.name)
    blurred = baselines[
        (baselines["method"] == "blurred") & (baselines["test_set"] == TEST_IMAGES[card.protocol])
    ]
    if not _same_testset(scores, blurred, card):
        reason = f"submitted for another test set (profile {card.profile}): submit it again"
        return Submission(card, None, None, reason)
    for name in scores.columns.intersection([n for n in card.blurred if n.startswith("d_vgg")]):
        if not _agrees(card, blurred, name, TRAINED["d_vgg"] * card.blurred[name]):
            scores[name] = np.nan
    if card.protocol != RECOGNITION.protocol:
        return Submission(card, scores, None, "")
    recognition = _read(read_recognition, folder / OBSERVED, card.name)
    seen = recognition["image"].tolist()
    if seen and seen != table3_rows(scores)["image"].tolist():
        raise UserError(
            f"{folder / OBSERVED}: not of the images of {PER_IMAGE}: submit {card.name} again"
        )
    if (card.pairs, card.embedder) != reference_hashes(artifacts / "references"):
        return Submission(card, scores, None, "verified with another network or other pairs")
    return Submission(card, scores, recognition, "")


def _read(reader: Reader, path: Path, name: str) -> pd.DataFrame:
    try:
        frame = read_once(reader, path)
    except UserError as error:
        raise UserError(f"{path}: missing or damaged: submit {name} again") from error
    if not set(frame["method"]) <= {name}:
        raise UserError(f"{path}: holds another method than {name}: submit {name} again")
    return frame.sort_values("image").reset_index(drop=True)


def _same_testset(scores: pd.DataFrame, blurred: pd.DataFrame, card: SubmissionCard) -> bool:
    one, two = (
        frame.sort_values("image")[SAME_IMAGES].to_numpy().tolist() for frame in (scores, blurred)
    )
    return bool(one == two and _agrees(card, blurred, "psnr", UNTRAINED["psnr"]))


def _agrees(card: SubmissionCard, blurred: pd.DataFrame, name: str, tolerance: float) -> bool:
    """Whether the blurred images score as they did then, as far as machines agree."""
    return name in blurred and bool(abs(blurred[name].mean() - card.blurred[name]) <= tolerance)


def reference_hashes(references: Path) -> tuple[str, str]:
    """SHA-256 of the pairs and of the embedder's file.

    Raises:
        UserError: the stage ``baselines`` has not run.
    """
    try:
        card = read_json(references / EMBEDDER_CARD)
        return sha256(references / PAIRS), str(card.get("sha256"))
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{references}: no references; run `dfpg evaluate baselines`") from error


def add_submission_rows(table: Table, submissions: Sequence[Submission]) -> Table:
    """The table with a row for every submission to its protocol, below the paper's."""
    if not table.appends:
        return table
    rows = tuple(
        Row(
            submission.card.name,
            submission.card.name,
            "external",
            missing=submission.reason,
            note=submission.card.paper,
        )
        for submission in submissions
        if submission.card.protocol == table.protocol
    )
    return dataclasses.replace(table, rows=(*table.rows, *rows))


def add_submission_scores(scores: pd.DataFrame, submissions: Sequence[Submission]) -> pd.DataFrame:
    """Per-image scores of runs and submissions, one frame."""
    added = [submission.scores for submission in submissions if submission.scores is not None]
    return pd.concat([scores, *added], ignore_index=True)


def add_submission_observations(
    observations: Observations, submissions: Sequence[Submission]
) -> Observations:
    """Table 3's rows of runs and submissions."""
    added = {
        submission.card.name: submission.recognition
        for submission in submissions
        if submission.recognition is not None and not submission.recognition.empty
    }
    return dataclasses.replace(observations, rows=observations.rows | added)
