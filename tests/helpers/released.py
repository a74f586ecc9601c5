"""Files in the layouts in which authors released their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dfpg.methods.zhang2019 import DECODER_LAYERS, ENCODER_LAYERS


def dmphn_files(folder: Path, generator: Any) -> None:
    """Write a generator of zhang2019 as DMPHN's six files."""
    for part, layers in (("encoder", ENCODER_LAYERS), ("decoder", DECODER_LAYERS)):
        for level, network in enumerate(getattr(generator, part + "s"), start=1):
            state = {}
            for ours, value in network.state_dict().items():
                index, rest = ours.split(".", 1)
                state[f"layer{layers[int(index)]}.{rest.replace('body.', '')}"] = value
            torch.save(state, folder / f"{part}_lv{level}.pkl")
