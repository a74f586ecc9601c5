from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dfpg.core.config import Config
from dfpg.methods.cost import cost
from dfpg.methods.registry import build_method


def test_counts_are_those_of_a_real_network(config: Config) -> None:
    """Against hooks on the layers of a network with weights: positions times weights."""
    found = cost(config, "dfpg_b")
    method = build_method(config.model_copy(update={"image_size": 128}), "dfpg_b", None)
    macs = []

    def count(layer: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        positions = output[0, 0].numel() if output.ndim == 4 else 1
        if isinstance(layer, nn.ConvTranspose2d):
            positions //= layer.stride[0] * layer.stride[1]
        macs.append(positions * weight.numel())

    for layer in method.networks["generator"].modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            layer.register_forward_hook(count)
    method.restore(torch.zeros(1, 3, 128, 128))
    assert found.macs == sum(macs)
    assert found.parameters == sum(p.numel() for p in method.networks["generator"].parameters())
