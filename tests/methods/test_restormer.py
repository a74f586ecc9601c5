from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from dfpg.methods.base import Setting
from dfpg.methods.restormer import (
    Attention,
    ChannelNorm,
    FeedForward,
    Restormer,
    RestormerOptions,
)

OPTIONS: dict[str, Any] = {
    "width": 8,
    "blocks": [1, 1, 1, 1],
    "refinement_blocks": 1,
    "heads": [1, 2, 4, 8],
    "expansion": 2.66,
    "objective": "native",
    "init": "identity",
    "weight_decay": 1e-4,
    "pixels": "centred",
}


def make(seed: int = 0, **changes: Any) -> Restormer:
    setting = Setting(32, seed, None, (), "canonical")
    return Restormer("restormer", RestormerOptions(**(OPTIONS | changes)), setting)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_convolutions_of_the_published_network_cost_what_is_published() -> None:
    method = make(width=48, blocks=[4, 6, 6, 8], refinement_blocks=4)
    with FlopCounterMode(display=False) as counter:
        method.networks["generator"].to("meta")(torch.empty(1, 3, 128, 128, device="meta"))
    counts = counter.get_flop_counts()["Global"]
    convolutions = sum(n for name, n in counts.items() if "convolution" in str(name))
    assert convolutions / 2e9 == pytest.approx(35.3, abs=0.1)


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_is_the_softmax_of_cosines_between_channels(heads: int) -> None:
    layer, x = Attention(8, heads), random(2, 8, 5, 6)
    with torch.no_grad():
        layer.temperature.copy_(torch.arange(1.0, heads + 1).view(-1, 1, 1))
        q, k, v = layer.depthwise(layer.qkv(x)).flatten(2).chunk(3, dim=1)
        parts = []
        for head in range(heads):
            c = slice(head * 8 // heads, (head + 1) * 8 // heads)
            cosines = F.normalize(q[:, c], dim=-1) @ F.normalize(k[:, c], dim=-1).mT
            parts.append(((head + 1) * cosines).softmax(dim=-1) @ v[:, c])
        expected = layer.project(torch.cat(parts, dim=1).reshape(x.shape))
        torch.testing.assert_close(layer(x), expected)


def test_attention_and_its_gradient_are_finite_where_a_feature_vanishes() -> None:
    layer, x = Attention(4, 2), torch.zeros(1, 4, 3, 3, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_feed_forward_gates_by_gelu() -> None:
    layer, x = FeedForward(6, 2.66), random(1, 6, 4, 4)
    assert layer.project.in_channels == 15  # int(6 x 2.66)
    gate, value = layer.depthwise(layer.expand(x)).split(15, dim=1)
    expected = layer.project(F.gelu(gate) * value)
    torch.testing.assert_close(layer(x), expected)


def test_norm_standardises_every_position() -> None:
    y = ChannelNorm(16)(5 * random(2, 16, 4, 5) + 3)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 4, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(dim=1, unbiased=False), torch.ones(2, 4, 5), rtol=1e-3, atol=0)


def test_only_the_norms_have_biases() -> None:
    names = [n for n, _ in make().networks["generator"].named_parameters() if n.endswith("bias")]
    assert names
    assert all(".norm" in name for name in names)


def test_the_finest_decoder_and_the_refinement_have_twice_the_width() -> None:
    generator = make().networks["generator"]
    channels = [stage[0].attention.project.out_channels for stage in generator.decoders]
    assert channels == [32, 16, 16]
    assert generator.refinement[0].attention.project.out_channels == 16
    assert [stage[0].attention.heads for stage in generator.decoders] == [4, 2, 1]


def test_optimiser_is_adamw() -> None:
    optimiser = make().optimisers(3e-4, 0.0)["generator"]
    assert isinstance(optimiser, torch.optim.AdamW)
    assert (optimiser.defaults["betas"], optimiser.defaults["weight_decay"]) == ((0.9, 0.999), 1e-4)


def test_native_and_l1_are_the_same_objective(pair: Any) -> None:
    losses = [next(make(objective=name).phases(pair)).loss.item() for name in ("native", "l1")]
    assert losses[0] == losses[1] == pytest.approx((pair.blurred - pair.sharp).abs().mean().item())


def test_released_start_is_the_seeds_own_and_no_identity() -> None:
    x = random(1, 3, 16, 16).clamp(-1, 1)
    state = torch.get_rng_state()
    one, same, other = (make(seed, init="released").restore(x) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (one - x).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 7}, "width"),
        ({"blocks": [1, 1, 1]}, "blocks"),
        ({"heads": [3, 2, 4, 8]}, "8 channels do not divide into 3 heads"),
        ({"expansion": 0.5}, "expansion"),
    ],
)
def test_bad_options_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RestormerOptions(**(OPTIONS | change))


def test_published_weights_see_pixels_from_0_to_1() -> None:
    method, images = make(init="released", pixels="unit"), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = method.networks["generator"](images)
    torch.testing.assert_close(method.infer(2 * images - 1), 2 * expected - 1)
    assert not torch.allclose(
        method.infer(2 * images - 1), make(init="released").infer(2 * images - 1)
    )
    assert (make(pixels="unit").restore(2 * images - 1) - (2 * images - 1)).abs().max() < 1e-6
