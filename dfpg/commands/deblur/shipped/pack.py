"""Trained weights as the file that ships: small enough, a card beside it, and only if good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfpg.commands.deblur.shipped.measure import measure
from dfpg.core.config import Config
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write, write_text
from dfpg.methods.registry import build_restorer
from dfpg.methods.weights import read_card
from dfpg.stages.environment import describe_environment

MINIMUM_GAIN_DB = 1.5  # above blurred, on the set below; elsewhere the interval must be above 0
MINIMUM_GAIN_SET = "generated_b"  # people never trained on, blur of the training kind
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


def pack(config: Config, weights: Path, training: dict[str, Any], celeba: Path, out: Path) -> str:
    """Measure the weights, and write file and card; neither where they are too weak.

    Args:
        config: the profile ``shipped``.
        weights: trained weights.
        training: what the card says of the training
            (:func:`dfpg.commands.deblur.shipped.train.training_facts`).
        celeba: folder as its owners distribute it.
        out: the weights file to write; the card gets its name with ``.json``.

    Returns:
        The card's text.

    Raises:
        UserError: a file over ``LIMIT_BYTES``; below the bar on generated faces, or not above
            blurred elsewhere.
    """
    device, card, data = select_device(), read_card(weights), weights.read_bytes()
    if len(data) > LIMIT_BYTES:
        raise UserError(f"{weights}: over {LIMIT_BYTES} bytes: train it narrower")
    measured = measure(config, build_restorer(weights, device), device, celeba)
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
        "measured_psnr_db": measured,
        "licence": LICENCE,
        "environment": describe_environment(config),
    }
    with atomic_write(out) as stream:
        stream.write(data)
    text = json.dumps(contents, indent=2) + "\n"
    write_text(out.with_suffix(".json"), text)
    return text


def shortfalls(measured: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What a shipped model must reach and this one does not, in words."""
    weak = []
    for name, found in measured.items():
        enough = found["gain"] >= MINIMUM_GAIN_DB if name == MINIMUM_GAIN_SET else found["low"] > 0
        if not enough:
            weak.append(f"{name} {found['gain']:+.2f} dB [{found['low']:.2f}, {found['high']:.2f}]")
    return weak
