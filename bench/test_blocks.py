"""Parts of a training step that are no convolution: as the suite has them, and as formulas read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bench.measure import Action, Timing
from dfpg.methods.blocks import ResBlock
from dfpg.methods.losses import EPSILON, unit_distance
from dfpg.methods.yasarla2020 import InstanceNorm

SHAPE = (8, 64, 64, 64)  # of a feature at full resolution
WAYS = ("plain", "used")


class PlainResBlock(ResBlock):
    """The sum of its input and the weighted residual, one operation after the other."""

    def forward(self, x: Tensor) -> Tensor:
        """``x`` plus the residual."""
        out: Tensor = x + self.attention(self.body(x))
        return out


def unit_difference(one: Tensor, other: Tensor) -> Tensor:
    """Squared distance of features of length 1, [N, H, W], by the features themselves."""
    units = [x / (x.square().sum(dim=1, keepdim=True) + EPSILON).sqrt() for x in (one, other)]
    return (units[0] - units[1]).square().sum(dim=1)


def forwards_and_backwards(function: Callable[[Tensor], Tensor], x: Tensor) -> Action:
    """A call that returns the output and the gradient at the input."""
    ones = torch.ones_like(function(x))

    def run() -> tuple[Tensor, Tensor]:
        image = x.detach().requires_grad_()
        out = function(image)
        return out.detach(), torch.autograd.grad(out, image, ones)[0]

    return run


def actions(part: str, device: torch.device) -> dict[str, Action]:
    """Both ways of a part."""
    stream = torch.Generator().manual_seed(0)
    x, y = (torch.randn(SHAPE, generator=stream).to(device) for _ in range(2))
    functions: tuple[Callable[[Tensor], Tensor], ...]
    if part == "instance_norm":  # Yasarla's network is not channels_last
        functions = (nn.InstanceNorm2d(SHAPE[1]), InstanceNorm(SHAPE[1]))
    else:
        x, y = (t.to(memory_format=torch.channels_last) for t in (x, y))
        if part == "prior_distance":
            functions = (lambda t: unit_difference(t, y), lambda t: unit_distance(t, y))
        else:
            blocks = [kind(SHAPE[1]).to(device) for kind in (PlainResBlock, ResBlock)]
            blocks[1].load_state_dict(blocks[0].state_dict())
            for block in blocks:
                block.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            functions = tuple(blocks)
    return {
        way: forwards_and_backwards(function, x)
        for way, function in zip(WAYS, functions, strict=True)
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("part", ["residual_block", "prior_distance", "instance_norm"])
def test_part(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    part: str,
    way: str,
) -> None:
    timings = in_turn(f"part {part}", lambda: actions(part, device), budget=2.0)
    for found, expected in zip(timings[way].result, timings["plain"].result, strict=True):
        assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)
    record(timings[way], subject=part, variant=way, image_size=SHAPE[-1], batch=SHAPE[0])
