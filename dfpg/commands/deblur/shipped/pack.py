"""Trained weights as the file that ships: small enough, a card beside it, and only if good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dfpg.commands.deblur.restore import LEAST_CHANGE
from dfpg.commands.deblur.shipped.by_size import ALL, SizeGain
from dfpg.commands.deblur.shipped.measure import Gain, Measured, measure
from dfpg.core.config import Config
from dfpg.core.device import resolve_precision, select_device
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write, sha256, write_text
from dfpg.methods.weights import read_card
from dfpg.stages.environment import describe_environment

# dB above blurred, on the set below and under measured kernels; on the other sets the interval must
# be above 0.
MINIMUM_GAIN_DB = 1.5
MINIMUM_GAIN_SET = "generated_b"  # people never trained on, blur of the training kind
# Share of sharp faces without noise that `dfpg deblur` must leave as they were: a gain means
# nothing there, since any change of such a face harms it.
LEAST_LEFT = 0.9
LIMIT_BYTES = 10_000_000
DATA = (
    "embedded training people, and freshly generated ones (dfpg faces generate); "
    "measured on the embedded test people and on CelebA's, none of them trained on"
)
LICENCE = (
    "weights: Apache-2.0, as the package. The training faces were drawn by MobileStyleGAN "
    "(Apache-2.0), which was distilled from StyleGAN2 trained on FFHQ; FFHQ's own terms are "
    "non-commercial (CC BY-NC-SA 4.0). The prior loss looked through VGG-16 trained on ImageNet, "
    "whose images are for non-commercial research. Take advice before commercial use."
)


def pack(
    config: Config,
    weights: Path,
    training: dict[str, Any],
    celeba: Path,
    kernels: Path,
    out: Path,
) -> str:
    """Measure the weights, and write file and card; neither where they are too weak.

    Args:
        config: the profile ``shipped``.
        weights: trained weights.
        training: what the card says of the training
            (:func:`dfpg.commands.deblur.shipped.train.training_facts`).
        celeba: folder as its owners distribute it.
        kernels: file of measured kernels
            (:func:`dfpg.commands.deblur.shipped.measured_kernels.read_kernels`).
        out: the weights file to write; the card gets its name with ``.json``.

    Returns:
        The card's text.

    Raises:
        UserError: a file over ``LIMIT_BYTES``, or what :func:`shortfalls` finds.
    """
    device, card, data = select_device(), read_card(weights), weights.read_bytes()
    if len(data) > LIMIT_BYTES:
        raise UserError(f"{weights}: over {LIMIT_BYTES} bytes: train it narrower")
    measured = measure(config, weights, device, celeba, kernels)
    weak = shortfalls(measured)
    if weak:
        raise UserError(f"{weights}: not good enough to ship: {'; '.join(weak)}: train it longer")
    contents = {
        "title": "DFPGnet for faces at 128 px",
        "method": card.method,
        "options": card.options,
        "image_size": card.image_size,
        "precision": "float16 as stored, float32 as loaded",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "training": {"data": DATA, **training},
        "measured_psnr_db": {name: asdict(found) for name, found in measured.sets.items()},
        "by_kernel_size": {
            "change_left_below_grey_levels": LEAST_CHANGE,
            "precision": resolve_precision("auto", device),
            "harmed_without_check": harmed_without_check(measured),
            "rows": [asdict(row) for row in measured.sizes],
        },
        "measured_kernels": {
            "file": kernels.name,
            "sha256": sha256(kernels),
            "rows": [asdict(row) for row in measured.kernels],
        },
        "licence": LICENCE,
        "environment": describe_environment(config),
    }
    with atomic_write(out) as stream:
        stream.write(data)
    text = json.dumps(contents, indent=2) + "\n"
    write_text(out.with_suffix(".json"), text)
    return text


def shortfalls(measured: Measured) -> list[str]:
    """What a shipped model must reach and this one does not, in words.

    With the rule by which ``dfpg deblur`` leaves faces as they were it must lose on average at no
    kernel size, and gain ``MINIMUM_GAIN_DB`` under all measured kernels together, on each source of
    faces.
    """
    weak = set_shortfalls(measured.sets)
    for row in measured.sizes:
        if row.blurred is None:
            if row.left < LEAST_LEFT:
                weak.append(f"{_name(row)}: {row.left:.0%} left as they were, not {LEAST_LEFT:.0%}")
        elif row.rule_gain is None or row.rule_gain < 0:
            weak.append(f"{_name(row)}: {_decibels(row.rule_gain)}")
    together = [row for row in measured.kernels if row.name == ALL]
    if not together:
        weak.append("no measured kernels")
    for row in together:
        if row.rule_gain is None or row.rule_gain < MINIMUM_GAIN_DB:
            weak.append(f"{_name(row)}: {_decibels(row.rule_gain)}, not {MINIMUM_GAIN_DB}")
    return weak


def set_shortfalls(sets: Mapping[str, Gain]) -> list[str]:
    """The same, for the test sets alone."""
    weak = []
    for name, found in sets.items():
        enough = found.gain >= MINIMUM_GAIN_DB if name == MINIMUM_GAIN_SET else found.low > 0
        if not enough:
            weak.append(f"{name} {found.gain:+.2f} dB [{found.low:.2f}, {found.high:.2f}]")
    return weak


def harmed_without_check(measured: Measured) -> list[str]:
    """Where the network alone loses on average, in words, with how many faces the rule leaves."""
    return [
        f"{_name(row)}: {row.gain:+.2f} dB, {row.left:.0%} left as they were"
        for row in [*measured.sizes, *measured.kernels]
        if row.gain is not None and row.gain < 0
    ]


def _name(row: SizeGain) -> str:
    noise = f", noise {row.noise}" if row.noise else ""
    return f"{row.faces} {row.kernels} {row.name}{noise}"


def _decibels(gain: float | None) -> str:
    return "no gain, since a kernel does not blur" if gain is None else f"{gain:+.2f} dB"
