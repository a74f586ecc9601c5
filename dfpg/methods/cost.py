"""What a network costs: parameters, and multiply-accumulates of one image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from dfpg.core.config import Config
from dfpg.methods.registry import build_method

SIDE = 128  # px: the paper's image size
COUNTED = ("convolution", "addmm", "mm")  # convolutions and linear layers; no attention products


class Cost(NamedTuple):
    """What restoring one picture of ``SIDE`` x ``SIDE`` px takes.

    ``parameters`` are the generator's, ``macs`` the multiply-accumulates of its convolutions and
    linear layers.
    """

    parameters: int
    macs: int


def cost(config: Config, run: str) -> Cost:
    """Cost of a run's network, without its weights: everything is on the meta device.

    Raises:
        UserError: no such run, or bad options.
    """
    with torch.device("meta"):
        method = build_method(config.model_copy(update={"image_size": SIDE}), run, prior=None)
        image = torch.empty(1, 3, SIDE, SIDE)
    with FlopCounterMode(display=False) as counter:
        method.restore(image)
    flops = counter.get_flop_counts().get("Global", {})
    counted = sum(n for kind, n in flops.items() if str(kind).removeprefix("aten.") in COUNTED)
    parameters = sum(p.numel() for p in method.networks["generator"].parameters())
    return Cost(parameters, counted // 2)
