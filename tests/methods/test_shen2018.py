from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from helpers.steps import train
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from dfpg.methods.base import Setting
from dfpg.methods.shen2018 import (
    COMPONENTS,
    Discriminator,
    Generator,
    Shen2018,
    Shen2018Options,
    Unit,
)
from dfpg.pretrained.parsing import CLASSES, SHEN11

SIDE = 32
OPTIONS: dict[str, Any] = {
    "width": 8,
    "parsing_width": 4,
    "discriminator_width": 4,
    "parsing_steps": 1,
    "parsing_sharp": 0.5,
    "objective": "native",
    "output": "residual",
    "pixels": "centred",
    "lambda_structural": 50.0,
    "lambda_perceptual": 1e-5,
    "lambda_adversarial": 5e-5,
    "perceptual_input": "canonical",
}


class Pooled:
    """A prior network whose features are means over 2^block pixels."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], str]] = []

    def to(self, _device: torch.device) -> Pooled:
        return self

    def features(self, images: Tensor, taps: Any, input: Any) -> list[Tensor]:
        self.calls.append((tuple(taps), input))
        return [F.avg_pool2d(images, 1 << int(tap[4])) for tap in taps]


@dataclass(frozen=True)
class Labelled:
    sharp: Tensor
    blurred: Tensor
    labels: Tensor


Make = Callable[..., Shen2018]


@pytest.fixture
def taps() -> Pooled:
    return Pooled()


@pytest.fixture
def make(taps: Pooled) -> Make:
    def build(inference: bool = False, seed: int = 0, **changes: Any) -> Shen2018:
        setting = Setting(SIDE, seed, None if inference else taps, (), "canonical")
        return Shen2018("shen2018", Shen2018Options(**(OPTIONS | changes)), setting)

    return build


@pytest.fixture
def batch(pair: Any) -> Labelled:
    """Labels in four stripes: background, skin, nose, hair."""
    names = ("background", "skin", "nose", "hair")
    stripes = torch.tensor([CLASSES.index(n) for n in names], dtype=torch.uint8)
    rows = stripes.repeat_interleave(SIDE // 4).unsqueeze(1)
    return Labelled(pair.sharp, pair.blurred, rows.expand(4, SIDE, SIDE).clone())


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_networks_have_the_stated_sizes_and_cost() -> None:
    with torch.device("meta"):
        generator, discriminator = (
            Generator(64, 64, centred=False, residual=False),
            Discriminator(64),
        )
        image = torch.empty(1, 3, 128, 128)
    deblurring = sum(p.numel() for p in generator.deblurring())
    assert deblurring == 3_118_937  # at 64 channels, which are assumed
    assert parameters(generator) - deblurring == parameters(generator.parsing) == 23_444_939
    assert parameters(discriminator) == 2_762_945
    with FlopCounterMode(display=False) as counter:
        generator(image)
        whole = counter.get_total_flops()
        generator.parsing(image)
    parsing = counter.get_total_flops() - whole
    assert (whole - parsing) / 2e9 == pytest.approx(32, abs=0.5)


def test_facial_components_are_all_but_background_skin_and_hair() -> None:
    assert {SHEN11[c] for c in COMPONENTS} == set(SHEN11) - {"background", "skin", "hair"}
    assert len(COMPONENTS) == 8


def test_residual_unit_rectifies_what_it_reads_but_not_the_sum() -> None:
    unit, negative = Unit(4), -torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(unit(negative) - negative, unit(0 * negative))
    assert unit(negative - 9).max() < 0


def test_parsing_net_adds_the_encoders_stages_two_to_five_to_the_decoder() -> None:
    with torch.device("meta"):
        parsing = Generator(4, 4, centred=True, residual=False).parsing
    shapes: list[tuple[int, ...]] = []
    for stage in (*parsing.encoder, *parsing.decoder):
        stage.register_forward_hook(lambda *call: shapes.append(tuple(call[2].shape[1:])))
    assert parsing(torch.empty(2, 3, 64, 96, device="meta")).shape == (2, 11, 64, 96)
    assert shapes[6:10] == shapes[4:0:-1]
    assert shapes[5] == (32, 2, 3)
    assert shapes[10] == (4, 64, 96)


@pytest.mark.parametrize("pixels", ["centred", "unit"])
def test_residual_form_starts_as_the_identity_at_both_scales(
    make: Make, batch: Labelled, pixels: str
) -> None:
    method = make(pixels=pixels)
    noisy = (1.1 * batch.blurred).clamp(-1.1, 1.1)
    restored = method.networks["generator"].eval()(noisy)
    torch.testing.assert_close(restored.image, noisy, atol=1e-5, rtol=0)
    torch.testing.assert_close(restored.half, F.avg_pool2d(noisy, 2), atol=1e-5, rtol=0)


def test_residual_form_adds_its_input_to_what_the_layers_return(
    make: Make, batch: Labelled
) -> None:
    residual = make().networks["generator"].eval()
    for stack in (residual.coarse, residual.fine):
        torch.nn.init.normal_(stack.tail[-1].weight, std=0.1)
    published = make(output="image").networks["generator"].eval()
    published.load_state_dict(residual.state_dict())
    small = F.avg_pool2d(batch.blurred, 2)
    torch.testing.assert_close(residual(batch.blurred).half, published(batch.blurred).half + small)


def test_published_form_does_not_start_as_the_identity(make: Make, batch: Labelled) -> None:
    assert (make(output="image").restore(batch.blurred) - batch.blurred).abs().mean() > 0.05


def test_parsing_net_is_trained_first_on_sharp_then_on_blurred_images(
    make: Make, batch: Labelled
) -> None:
    method = make(parsing_steps=2, pixels="unit").train()
    generator = method.networks["generator"]
    seen: list[Tensor] = []
    generator.parsing.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    order = [[phase.optimiser for phase in method.phases(batch)] for _ in range(3)]
    assert order == [["parsing"], ["parsing"], ["discriminator", "generator"]]
    torch.testing.assert_close(seen[0], (batch.sharp + 1) / 2)
    torch.testing.assert_close(seen[1], (batch.blurred + 1) / 2)
    assert int(generator.state_dict()["steps"]) == 3


def test_centred_pixels_reach_the_networks_as_they_are(make: Make, batch: Labelled) -> None:
    seen: list[Tensor] = []
    generator = make(parsing_steps=0).networks["generator"]
    generator.parsing.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    generator(batch.blurred)
    assert torch.equal(seen[0], batch.blurred)


def test_parsing_net_is_frozen_with_its_statistics_afterwards(make: Make, batch: Labelled) -> None:
    method = make().train()
    train(method, batch, method.optimisers(1e-3, 1e-3), 1)
    parsing = method.networks["generator"].parsing
    before = {key: value.clone() for key, value in parsing.state_dict().items()}
    method.train()  # as after a validation
    train(method, batch, method.optimisers(1e-3, 1e-3), 2)
    assert all(torch.equal(before[key], value) for key, value in parsing.state_dict().items())


def test_parsing_net_learns_its_classes(make: Make, batch: Labelled) -> None:
    method = make(parsing_steps=60, parsing_sharp=1.0, parsing_width=8).train()
    train(method, batch, method.optimisers(3e-3, 3e-3), 60)
    found = method.networks["generator"].parsing(batch.sharp).argmax(1)
    names = ("background", "skin", "nose", "hair")
    rows = torch.tensor([SHEN11.index(n) for n in names]).repeat_interleave(SIDE // 4)
    assert (found == rows.unsqueeze(1)).float().mean() > 0.8


def test_total_is_the_weighted_sum_and_losses_are_those_of_unit_images(
    make: Make, batch: Labelled
) -> None:
    method = make(parsing_steps=0, lambda_structural=3.0, lambda_perceptual=0.5)
    *_, phase = method.phases(batch)
    parts = phase.figures
    error = (batch.blurred - batch.sharp).abs() / 2
    small = (F.avg_pool2d(batch.blurred, 2) - F.avg_pool2d(batch.sharp, 2)).abs().mean() / 2
    torch.testing.assert_close(parts["content"], error.mean() + small, rtol=1e-4, atol=1e-6)
    nose = error[:, :, SIDE // 2 : 3 * SIDE // 4].sum() / error.numel()
    torch.testing.assert_close(parts["structural"], nose, rtol=1e-4, atol=1e-6)
    expected = (
        parts["content"] + 3 * parts["structural"] + 0.5 * parts["perceptual"]
        + 5e-5 * parts["adversarial"]
    )  # fmt: skip
    torch.testing.assert_close(phase.loss.detach(), expected)


def test_discriminator_and_generator_train_their_own_networks(make: Make, batch: Labelled) -> None:
    method = make(parsing_steps=0)
    generator, discriminator = method.networks["generator"], method.networks["discriminator"]
    phases = method.phases(batch)
    next(phases).loss.backward()
    assert all(p.grad is None for p in generator.parameters())
    assert all(p.grad is not None for p in discriminator.parameters())
    discriminator.zero_grad()
    next(phases).loss.backward()
    assert all(p.grad is None for p in discriminator.parameters())
    assert all(p.grad is None for p in generator.parsing.parameters())
    assert generator.fine.tail[-1].weight.grad.abs().max() > 0


def test_without_adversarial_weight_there_is_no_discriminator(make: Make, batch: Labelled) -> None:
    method = make(parsing_steps=0, lambda_adversarial=0.0)
    assert set(method.networks) == {"generator"}
    assert set(method.optimisers(1e-3, 1e-3)) == {"generator", "parsing"}
    (phase,) = method.phases(batch)
    assert set(phase.figures) == {"content", "structural", "perceptual"}


def test_perceptual_loss_asks_for_pool2_and_pool5(
    make: Make, batch: Labelled, taps: Pooled
) -> None:
    list(make(parsing_steps=0).phases(batch))
    assert taps.calls == 2 * [(("pool2", "pool5"), "canonical")]


def test_l1_objective_needs_neither_prior_nor_discriminator(make: Make, batch: Labelled) -> None:
    method = make(inference=True, objective="l1", parsing_steps=0)
    assert set(method.networks) == {"generator"}
    (phase,) = method.phases(batch)
    torch.testing.assert_close(
        phase.loss.detach(), (batch.blurred - batch.sharp).abs().mean(), rtol=1e-4, atol=1e-5
    )
    assert not Shen2018.needs_prior(method.options)


def test_native_objective_built_for_inference_says_so(make: Make, batch: Labelled) -> None:
    method = make(inference=True, parsing_steps=0)
    assert set(method.networks) == {"generator"}
    with pytest.raises(ValueError, match="built for inference"):
        next(method.phases(batch))


@pytest.mark.parametrize(
    "change",
    [{"width": 3}, {"parsing_sharp": 1.5}, {"objective": "gan"}, {"lambda_structural": -1.0}],
)
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Shen2018Options(**(OPTIONS | change))
