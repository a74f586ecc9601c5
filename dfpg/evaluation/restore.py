"""Restoring in a number format: the network's forward pass alone, what follows is fp32."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dfpg.core.config import Config
from dfpg.core.device import Precision, autocast, resolve_precision
from dfpg.methods.base import Method
from dfpg.methods.registry import build_restorer

if TYPE_CHECKING:
    from dfpg.evaluation.score import Restore


def load_restore(config: Config, weights: Path, device: torch.device) -> Restore:
    """``restore`` of a trained method, in ``evaluation.precision``.

    Raises:
        UserError: as :func:`evaluation_precision` and
            :func:`dfpg.methods.registry.build_restorer`.
    """
    precision = evaluation_precision(config, device)
    return restore_in_precision(build_restorer(weights, device), device, precision)


def evaluation_precision(config: Config, device: torch.device) -> Precision:
    """What ``evaluation.precision`` means on a device; ``auto`` as in training.

    Raises:
        UserError: bf16 is asked for and the device cannot compute it.
    """
    return resolve_precision(config.evaluation.precision, device, "evaluation.precision")


def restore_in_precision(method: Method, device: torch.device, precision: Precision) -> Restore:
    """``method.restore`` with its forward pass in ``precision``: bf16 is by autocast.

    Args:
        method: on ``device``.
        device: where it restores.
        precision: of convolutions and matrix products; weights stay fp32.
    """

    def restore(blurred: Tensor, /) -> Tensor:
        with autocast(device, precision):
            return method.restore(blurred)

    return restore
