"""What the report says first: which claims hold, and how well each method deblurs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from dfpg.analysis.comparability import SLOT_SOURCES, SOURCE_LABELS
from dfpg.analysis.floor import NOT_ABOVE
from dfpg.analysis.main_table import MainRecord
from dfpg.analysis.result_records import ClaimRecord
from dfpg.analysis.verdicts import (
    CONSISTENT,
    INCONSISTENT,
    REFUTED,
    SUPPORTED,
    TOO_SMALL,
    UNDECIDED,
)
from dfpg.core.config import REFERENCE_SIZE, Config
from dfpg.paper.tables import TEST_SETS
from dfpg.report.table_layout import printed_number

SIGNED = "+.2f"  # dB


class Answer(NamedTuple):
    """Claims that share an answer."""

    title: str
    one: str  # said of one claim
    several: str
    why: str  # what the answer means
    claims: tuple[ClaimRecord, ...] = ()


# All verdicts that none of these covers are "not tested".
ANSWERS = {
    (SUPPORTED, CONSISTENT): Answer(
        "Holds here",
        "holds here",
        "hold here",
        "Every comparison that the claim makes came out as the paper says.",
    ),
    (REFUTED, INCONSISTENT): Answer(
        "Does not hold here",
        "does not hold here",
        "do not hold here",
        "At least one comparison came out the other way.",
    ),
    (TOO_SMALL,): Answer(
        "Too small to matter",
        "is about a difference too small to matter",
        "are about differences too small to matter",
        "The difference is smaller than what was set beforehand as the smallest one that matters.",
    ),
    (UNDECIDED,): Answer(
        "Undecided",
        "is undecided",
        "are undecided",
        "At least one comparison could still go either way.",
    ),
}
NOT_TESTED = Answer(
    "Not tested",
    "was not tested",
    "were not tested",
    "A value was not measured, a method did not beat a fixed filter, or something that the claim "
    "takes for granted did not happen in these trainings.",
)


def answers(claims: Sequence[ClaimRecord]) -> list[Answer]:
    """The claims by answer, those that hold first; answers without a claim are left out."""
    told = {verdict for verdicts in ANSWERS for verdict in verdicts}
    found = [
        answer._replace(claims=tuple(claim for claim in claims if claim.verdict in verdicts))
        for verdicts, answer in ANSWERS.items()
    ]
    rest = NOT_TESTED._replace(claims=tuple(c for c in claims if c.verdict not in told))
    return [answer for answer in (*found, rest) if answer.claims]


def summary(claims: Sequence[ClaimRecord]) -> str:
    """One sentence: how many claims got which answer."""
    parts = [
        f"{len(found.claims)} {found.several if found.claims[1:] else found.one}"
        for found in answers(claims)
    ]
    joined = ", ".join(parts[:-1]) + (" and " if parts[1:] else "") + "".join(parts[-1:])
    return f"Of {len(claims)} claims of the paper, {joined}."


def scope(config: Config, images: Sequence[int]) -> str:
    """What was measured on, where it is not what the paper measured on; one sentence or two.

    Args:
        config: the profile.
        images: how many images each network was trained on.
    """
    others = sorted(
        {
            SOURCE_LABELS.get(subset.source, subset.source)
            for protocol in config.protocols.values()
            for name, subset in protocol.test.subsets.items()
            if subset.source not in SLOT_SOURCES.get(name, ())
        }
    )
    ends = dict.fromkeys((min(images), max(images))) if images else {}
    trained = f", on networks trained with {' to '.join(f'{n:,}' for n in ends)} images each"
    text = f"Measured on faces of {config.image_size} px"
    if others:
        text += f" from the data set {' and '.join(others)}"
    text += f"{trained if ends else ''}."
    if others or config.image_size != REFERENCE_SIZE:
        text += (
            f" The paper used photographs of {REFERENCE_SIZE} px: a verdict here speaks about "
            "these images and trainings, not about the paper's own."
        )
    return text


class MethodLine(NamedTuple):
    """One line of a main table, as printed."""

    row: str
    role: str  # ceiling | floor | input; empty for a trained method
    gain: str  # dB over the blurred images
    interval: str
    psnr: str  # dB
    below: bool  # does not beat the fixed filter
    own: bool  # the paper's method


def main_tables(records: Sequence[MainRecord]) -> dict[str, list[MethodLine]]:
    """``main.csv`` as printed, by title of the test set and what it holds."""
    tables: dict[str, list[MethodLine]] = {}
    for record in records:
        bounded = math.isfinite(record.ci_low) and record.run != "blurred"
        low, high = (printed_number(end, SIGNED) for end in (record.ci_low, record.ci_high))
        title = TEST_SETS[record.test_set].title
        heading = f"{title}: {record.n_images} images of {record.n_people} people"
        tables.setdefault(heading, []).append(
            MethodLine(
                record.row,
                record.role,
                printed_number(record.gain, SIGNED),
                f"{low} to {high}" if bounded else "",
                f"{record.psnr:.2f}",
                record.floor == NOT_ABOVE,
                record.row.startswith("dfpg"),
            )
        )
    return tables
