from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.utils.flop_counter import FlopCounterMode

from dfpg.methods.base import Setting
from dfpg.methods.nafnet import ChannelNorm, NAFBlock, NAFNet, NAFNetOptions, psnr, simple_gate

OPTIONS: dict[str, Any] = {
    "width": 8,
    "encoder_blocks": [1, 1, 1, 1],
    "middle_blocks": 1,
    "decoder_blocks": [1, 1, 1, 1],
    "objective": "native",
    "init": "identity",
    "weight_decay": 1e-3,
    "pixels": "centred",
}


def make(seed: int = 0, **changes: Any) -> NAFNet:
    setting = Setting(32, seed, None, (), "canonical")
    return NAFNet("nafnet", NAFNetOptions(**(OPTIONS | changes)), setting)


@pytest.mark.parametrize(
    ("width", "encoder", "middle", "decoder", "millions"),
    [
        (32, [1, 1, 1, 28], 1, [1, 1, 1, 1], 17.11),
        (32, [2, 2, 4, 8], 12, [2, 2, 2, 2], 29.16),
        (64, [1, 1, 1, 28], 1, [1, 1, 1, 1], 67.89),
    ],
)
def test_published_configurations_have_their_sizes(
    width: int, encoder: list[int], middle: int, decoder: list[int], millions: float
) -> None:
    method = make(width=width, encoder_blocks=encoder, middle_blocks=middle, decoder_blocks=decoder)
    size = sum(p.numel() for p in method.networks["generator"].parameters())
    assert size / 1e6 == pytest.approx(millions, abs=0.005)


def test_cost_at_128_px_is_the_published_one() -> None:
    generator = make(width=32, encoder_blocks=[1, 1, 1, 28]).networks["generator"]
    with FlopCounterMode(display=False) as counter:
        generator.to("meta")(torch.empty(1, 3, 128, 128, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(4.0, abs=0.05)


def test_channel_norm_standardises_every_position() -> None:
    x = 5 * torch.randn(2, 16, 4, 5, generator=torch.Generator().manual_seed(0)) + 3
    y = ChannelNorm(16)(x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(dim=1, unbiased=False), torch.ones(2, 4, 5))


def test_gate_multiplies_the_halves() -> None:
    x = torch.arange(8.0).reshape(1, 4, 1, 2)
    assert torch.equal(simple_gate(x), torch.tensor([0.0, 5, 12, 21]).reshape(1, 2, 1, 2))


def test_a_fresh_block_is_the_identity_and_its_factors_open_the_branches() -> None:
    block, x = NAFBlock(8), torch.randn(1, 8, 6, 6)
    assert torch.equal(block(x), x)
    with torch.no_grad():
        block.beta.fill_(1)
        first = block(x)
        block.gamma.fill_(1)
    assert not torch.equal(first, x)
    assert not torch.equal(block(x), first)


def test_psnr_is_the_mean_of_the_images_and_has_a_gradient_at_equality() -> None:
    sharp = torch.zeros(2, 3, 4, 4)
    restored = sharp.clone()
    restored[0] += 0.2  # 0.1 of the range: 20 dB
    restored[1] += 0.02  # 40 dB
    assert psnr(restored.requires_grad_(), sharp).item() == pytest.approx(30, abs=1e-3)
    perfect = psnr(restored * 0, sharp)
    perfect.backward()
    assert perfect.item() == pytest.approx(80)
    assert restored.grad.isfinite().all()


def test_optimiser_is_the_papers_adamw() -> None:
    optimiser = make().optimisers(1e-3, 0.0)["generator"]
    assert isinstance(optimiser, torch.optim.AdamW)
    defaults = optimiser.defaults
    assert (defaults["lr"], defaults["betas"]) == (1e-3, (0.9, 0.9))
    assert defaults["weight_decay"] == 1e-3


def test_released_start_is_the_seeds_own_and_no_identity() -> None:
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    one, same, other = (make(seed, init="released").restore(x) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (one - x).abs().max() > 1e-3


@pytest.mark.parametrize("key", ["encoder_blocks", "decoder_blocks"])
@pytest.mark.parametrize("value", [[1, 1, 1], [1, 1, 1, 0], "1,1,1,1"])
def test_four_levels_of_blocks_are_needed(key: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=key):
        NAFNetOptions(**(OPTIONS | {key: value}))


def test_published_weights_see_pixels_from_0_to_1() -> None:
    method, images = make(init="released", pixels="unit"), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = method.networks["generator"](images)
    torch.testing.assert_close(method.infer(2 * images - 1), 2 * expected - 1)
    assert not torch.allclose(
        method.infer(2 * images - 1), make(init="released").infer(2 * images - 1)
    )
    assert (make(pixels="unit").restore(2 * images - 1) - (2 * images - 1)).abs().max() < 1e-6
