"""Validation: how well a method restores faces of people that it is not trained on."""

from __future__ import annotations

from collections.abc import Callable

import torch

from dfpg.core.config import Config, ProtocolName
from dfpg.core.device import select_device
from dfpg.data.blur.degrade import quantise
from dfpg.data.blur.kernels import KernelBank
from dfpg.data.faces.dataset import load_faces
from dfpg.methods.base import Method
from dfpg.metrics.psnr import psnr
from dfpg.training.batches import BatchSource

VALIDATION_BATCHES = 5
VALIDATION_BATCH = 16

Validation = Callable[[Method], float]


def make_validation(config: Config, protocol: ProtocolName, bank: KernelBank) -> Validation:
    """PSNR in dB, mean per image, on fixed batches of the validation people."""
    faces = load_faces(config.protocols[protocol].source, "val")
    source = BatchSource(config, protocol, faces, bank, VALIDATION_BATCH, select_device())
    batches = [source.batch(step) for step in range(VALIDATION_BATCHES)]

    def validation(method: Method) -> float:
        scores = [
            psnr(quantise(method.restore(batch.blurred)), quantise(batch.sharp))
            for batch in batches
        ]
        return float(torch.cat(scores).mean())

    return validation
