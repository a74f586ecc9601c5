"""DFPGnet's sizes and cost against the paper's figures and the released code's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dfpg.methods.dfpgnet import VARIANTS, Discriminator, Generator


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def paper_generator(variant: str, fusion: str = "add", **size: int) -> Generator:
    sizes = {"width": 64, "blocks": 5, "prior_blocks": 10} | size
    with torch.device("meta"):
        return Generator(
            VARIANTS[variant], **sizes, prior_fusion=fusion, scale_offset=1, output="tanh"
        )


def giga_macs(network: nn.Module, *inputs: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize(
    ("variant", "fusion", "size"),
    [
        ("b1", "add", 22_860_523),
        ("b2", "add", 22_860_523),
        ("b3", "add", 44_661_379 - 2 * (147_712 + 590_336 + 2_360_320)),
        ("b3", "concat", 44_661_379 - 2 * 3_098_368 + 2 * (64**2 + 128**2 + 256**2) + 448),
        ("b4", "add", 44_661_379),
        ("b5", "add", 44_661_379),
        ("b6", "add", 44_661_379),
    ],
)
def test_generator_has_the_published_size(variant: str, fusion: str, size: int) -> None:
    assert parameters(paper_generator(variant, fusion)) == size


def test_discriminator_has_the_assumed_size_with_and_without_attention() -> None:
    assert parameters(Discriminator(attention=True)) == 4_148_188
    assert parameters(Discriminator(attention=False)) == 4_148_188 - 11_228


def test_cost_at_128_px_is_the_published_one() -> None:
    images = torch.empty(1, 3, 128, 128, device="meta")
    assert giga_macs(paper_generator("b6"), images) == pytest.approx(95.2, abs=0.05)
    assert giga_macs(paper_generator("b1"), images) == pytest.approx(44.5, abs=0.05)
    with torch.device("meta"):
        discriminator = Discriminator(attention=True)
        levels = [torch.empty(1, 64 << i, 128 >> i, 128 >> i) for i in range(3)]
    assert giga_macs(discriminator, levels) == pytest.approx(1.55, abs=0.005)


def test_layers_have_the_published_sizes() -> None:
    generator = paper_generator("b6")
    expected = {
        "from_rgb": 1_792, "en1": 372_180, "down1": 131_200, "en2": 1_486_760, "down2": 524_544,
        "en3": 5_943_120, "middle": 5_943_120, "de1": 5_943_120, "up1": 524_416, "de2": 1_486_760,
        "up2": 131_136, "de3": 372_180, "to_rgb": 195,
        "prior": 892_072 + 3_563_856 + 14_246_560, "fuse": 2_360_320 + 590_336 + 147_712,
        "project": 0,
    }  # fmt: skip
    assert {name: parameters(child) for name, child in generator.named_children()} == expected


@pytest.mark.parametrize("width", [8, 64])
def test_supervised_prior_has_the_prior_networks_shape_at_any_width(width: int) -> None:
    generator = paper_generator("b6", width=width, blocks=1, prior_blocks=1)
    image, prior = generator(torch.empty(2, 3, 32, 48, device="meta"))
    assert image.shape == (2, 3, 32, 48)
    shapes = [tuple(level.shape) for level in prior]
    assert shapes == [(2, 64, 32, 48), (2, 128, 16, 24), (2, 256, 8, 12)]
