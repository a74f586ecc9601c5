from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.steps import step, train
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.errors import UserError
from dfpg.methods.base import Setting
from dfpg.methods.wang2021 import (
    Generator,
    ModulatedConv,
    Wang2021,
    Wang2021Options,
    gradient_penalty,
    gram,
    pyramid_loss,
    widths,
)

SIDE = 32
OPTIONS: dict[str, Any] = {
    "objective": "native",
    "size": None,
    "channels": 16,
    "multiplier": 1,
    "style": 16,
    "discriminator_channels": 16,
    "prior_steps": 1,
    "fix_prior": False,
    "noise": "stored",
    "identity": "l1",
    "pyramid_steps": 1,
    "r1": 10.0,
    "r1_every": 2,
    "betas": [0.9, 0.99],
    "lambda_pixel": 0.1,
    "lambda_perceptual": 1.0,
    "lambda_style": 50.0,
    "lambda_adversarial": 0.1,
    "lambda_identity": 10.0,
    "lambda_pyramid": 1.0,
    "perceptual_input": "canonical",
}


class Edges:
    """A prior network of one random convolution."""

    def __init__(self) -> None:
        self.weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))

    def to(self, _device: torch.device) -> Edges:
        return self

    def features(self, images: Tensor, taps: Any, input: Any) -> list[Tensor]:
        assert input == "canonical"
        return [F.conv2d(images, self.weight) for _ in taps]


class Pair:
    def __init__(self, count: int = 4) -> None:
        noise = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(5))
        self.sharp = F.interpolate(noise, size=SIDE, mode="bilinear").clamp(-1, 1)
        self.blurred = F.avg_pool2d(F.pad(self.sharp, (3, 3, 3, 3), mode="reflect"), 7, 1)


@pytest.fixture
def make() -> Callable[..., Wang2021]:
    def build(inference: bool = False, side: int = SIDE, **changes: Any) -> Wang2021:
        setting = Setting(side, 0, None if inference else Edges(), (), "canonical")
        torch.manual_seed(0)
        return Wang2021("wang2021", Wang2021Options(**(OPTIONS | changes)), setting)

    return build


Make = Callable[..., Wang2021]


@pytest.mark.parametrize(("multiplier", "millions"), [(1, 76.2), (2, 86.44)])
def test_parameters_at_512_px_are_the_released_ones(multiplier: int, millions: float) -> None:
    with torch.device("meta"):
        generator = Generator(512, multiplier, 512, 512)
    count = sum(p.numel() for p in generator.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.01)


def test_widths_halve_above_32_px() -> None:
    assert widths(512, 2, 256) == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}


def test_modulated_convolution_equals_one_with_each_pictures_own_weights() -> None:
    layer = ModulatedConv(3, 5, 3, 4, demodulate=True)
    stream = torch.Generator().manual_seed(2)
    nn.init.normal_(layer.weight, generator=stream)
    x, style = torch.randn(2, 3, 6, 6, generator=stream), torch.randn(2, 4, generator=stream)
    for n in range(2):
        weight = layer.weight * layer.modulation(style[n])[None, :, None, None]
        weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = F.conv2d(x[n : n + 1], weight, padding=1)
        torch.testing.assert_close(layer(x, style)[n : n + 1], expected, rtol=1e-4, atol=1e-5)


def test_the_prior_is_trained_first_and_then_the_whole(make: Make) -> None:
    method = make(prior_steps=2).train()
    optimisers = method.optimisers(1e-3, 1e-3)
    generator = method.networks["generator"]

    def trained() -> tuple[bool, bool]:
        parts = (generator.conv_body_first, generator.decoder.to_rgb1)
        return tuple(next(iter(part.parameters())).grad is not None for part in parts)

    seen = []
    for _ in range(3):
        figures = step(method, Pair(), optimisers)
        assert {"loss_discriminator", "loss_generator"} <= figures.keys()
        seen.append((*trained(), "pyramid" in figures, "r1" in figures))
    assert seen == [(False, True, False, True), (False, True, False, False), (True,) * 4]
    assert "pyramid" not in step(method, Pair(), optimisers)


def test_a_fixed_prior_keeps_its_weights(make: Make) -> None:
    method = make(prior_steps=0, fix_prior=True).train()
    decoder = method.networks["generator"].decoder
    before = {k: v.clone() for k, v in decoder.state_dict().items()}
    step(method, Pair(), method.optimisers(1e-2, 1e-2))
    assert all(torch.equal(v, before[k]) for k, v in decoder.state_dict().items())
    assert all(p.requires_grad for p in decoder.parameters())


def test_transforms_change_half_of_the_channels_only(make: Make) -> None:
    decoder = make().networks["generator"].decoder.eval()
    codes, seen = decoder.style_codes(torch.ones(1, 16)), []
    hook = decoder.style_convs[1].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    sides = [8, 16, 32]
    neutral = [(torch.ones(1, 8, s, s), torch.zeros(1, 8, s, s)) for s in sides]
    stored = decoder.stored_noises()
    same = decoder(codes, neutral, stored), decoder(codes, [], stored)
    torch.testing.assert_close(*same)
    decoder(codes, [(scale, shift + 1) for scale, shift in neutral], stored)
    hook.remove()
    assert torch.equal(seen[0][:, :8], seen[2][:, :8])
    torch.testing.assert_close(seen[0][:, 8:] + 1, seen[2][:, 8:])


def test_gradient_penalty_of_a_linear_discriminator_is_its_squared_norm() -> None:
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    expected = discriminator[1].weight.square().sum()
    torch.testing.assert_close(gradient_penalty(discriminator, torch.rand(3, 3, 2, 2)), expected)


def test_gram_matrix_and_pyramid_loss_in_closed_form() -> None:
    x = torch.rand(2, 3, 4, 5)
    expected = torch.einsum("nahw,nbhw->nab", x, x) / 60
    torch.testing.assert_close(gram(x), expected)
    sharp = torch.zeros(1, 3, 8, 8)
    pictures = [torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 8, 8), -0.25)]
    assert pyramid_loss(pictures, sharp).item() == 0.75


def test_noise_is_fresh_in_training_and_stored_in_inference(make: Make) -> None:
    generator, blurred = make().networks["generator"], Pair().blurred
    for module in generator.decoder.style_convs:
        nn.init.ones_(module.weight)
    generator.train()
    assert not torch.equal(generator(blurred)[0], generator(blurred)[0])
    generator.eval()
    assert torch.equal(generator(blurred)[0], generator(blurred)[0])


def test_random_noise_is_each_pictures_own_whatever_it_is_restored_with(make: Make) -> None:
    method, blurred = make(noise="random"), Pair().blurred
    generator = method.networks["generator"]
    for module in generator.decoder.style_convs:
        nn.init.ones_(module.weight)
    whole = method.restore(blurred)
    torch.testing.assert_close(method.restore(blurred[2:3]), whole[2:3], atol=1e-4, rtol=1e-4)
    first, second = generator.decoder.image_noises(blurred[:2])[-1]
    assert not torch.equal(first, second)
    assert abs(float((first * second).mean())) < 0.1
    assert first.std().item() == pytest.approx(1, abs=0.1)
    generator.random_noise = False
    assert not torch.equal(method.restore(blurred), whole)


@pytest.mark.parametrize("identity", ["l1", "cosine"])
def test_identity_loss_in_closed_form(make: Make, identity: str) -> None:
    method = make(prior_steps=0, identity=identity, noise="stored").train(False)
    batch = Pair()
    *_, phase = method.phases(batch)
    fake, _ = method.networks["generator"](batch.blurred)
    features = method.setting.prior.features
    own, true = (features(x, ["conv5_3"], "canonical")[0].mean((2, 3)) for x in (fake, batch.sharp))
    if identity == "l1":
        own, true = (x / (x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5) for x in (own, true))
        expected = (own - true).abs().mean()
    else:
        expected = 1 - F.cosine_similarity(own, true).mean()
    torch.testing.assert_close(phase.figures["identity"], expected.detach())


def test_pictures_of_any_size_are_worked_on_at_the_networks_size(make: Make) -> None:
    method = make(side=20, size=16)
    assert method.networks["generator"].size == 16
    assert method.restore(torch.zeros(1, 3, 20, 31)).shape == (1, 3, 20, 31)


def test_a_size_that_is_no_power_of_two_is_refused(make: Make) -> None:
    with pytest.raises(UserError, match="48 px is no power of two"):
        make(side=48)
    with pytest.raises(ValidationError, match="power of two"):
        make(size=48)


def test_plain_l1_trains_without_prior_network_and_discriminator(make: Make) -> None:
    method, batch = make(objective="l1", inference=True).train(), Pair()
    assert not method.needs_prior(method.options)
    assert set(method.networks) == {"generator"}
    first, *_, last = train(method, batch, method.optimisers(3e-3, 0.0), 30)
    assert last["pixel"] < 0.7 * first["pixel"]


def official(method: Wang2021, path: Path, key: str = "params_ema", **changes: Tensor) -> Path:
    state = {}
    for name, value in method.networks["generator"].state_dict().items():
        own = name.replace("decoder.", "stylegan_decoder.").replace("to_rgb.", "toRGB.")
        state[own] = value[None] if own.endswith("modulated_conv.weight") else value
    torch.save({key: state | changes}, path)
    return path


@pytest.mark.parametrize("key", ["params_ema", "params"])
def test_an_official_layout_loads(make: Make, tmp_path: Path, key: str) -> None:
    one, two = make(), make()
    for p in one.networks["generator"].parameters():
        nn.init.normal_(p, generator=torch.Generator().manual_seed(3))
    path = official(one, tmp_path / "g.pth", key)
    two.load_official(path)
    fits = {"size": SIDE, "channels": 16, "style": 16, "multiplier": 1}
    assert Wang2021.official_options(path) == fits
    assert torch.equal(two.restore(Pair().blurred), one.restore(Pair().blurred))


def test_other_files_are_refused_in_one_line(make: Make, tmp_path: Path) -> None:
    method, path = make(), tmp_path / "g.pth"

    def refused(match: str) -> None:
        with pytest.raises(UserError, match=match) as error:
            method.load_official(path)
        assert "\n" not in str(error.value)

    refused("no such file")
    path.write_bytes(b"PK")
    refused("damaged")
    torch.save({"steps": 3}, path)
    refused(r"steps is no tensor \(int\)")
    torch.save({"params": {}}, path)
    refused("no conv_body_first.weight")
    official(make(channels=32), path)
    refused(r"conv_body_first.weight is \[16, 3, 1, 1\], wanted \[8, 3, 1, 1\]")
    official(method, path, **{"conv_body_first.bias": torch.full((8,), torch.nan)})
    refused("NaN")


@pytest.mark.parametrize("change", [{"widht": 8}, {"channels": 6}, {"betas": [0.5]}])
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Wang2021Options(**(OPTIONS | change))
