from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import hwio
from helpers.released import RELEASES, method_of, random_method
from helpers.steps import train
from pydantic import ValidationError
from scipy.io import loadmat
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from dfpg.core.errors import UserError
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
    "parsing_up": "transposed",
    "parsing_statistics": "moving",
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
    options = Shen2018Options(**(OPTIONS | {"width": 64, "parsing_width": 64}))
    with torch.device("meta"):
        generator, discriminator = Generator(options), Discriminator(64)
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
        parsing = Generator(Shen2018Options(**OPTIONS)).parsing
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
    [
        {"width": 3},
        {"parsing_sharp": 1.5},
        {"objective": "gan"},
        {"lambda_structural": -1.0},
        {"parsing_width": [4, 4]},
        {"pixels": "released", "output": "residual"},
    ],
)
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Shen2018Options(**(OPTIONS | change))


def bicubic_matrix(size: int) -> Tensor:
    """[size / 2, size]: Keys' kernel (a = -1/2) stretched by 2, its sum 1 at the border, too."""
    places = 2 * torch.arange(size // 2)[:, None] + 0.5
    x = ((torch.arange(size) - places) / 2).abs().double()
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = torch.where(x <= 1, inner, torch.where(x < 2, outer, 0.0))
    return weights / weights.sum(dim=1, keepdim=True)


def demonstration(picture: Tensor, net_g: Any, net_p: Any) -> Tensor:
    """The authors' script in double precision, layer by layer, from their struct arrays.

    ``picture`` is [1, 3, H, W], 0 to 255; the result is in the range of their outputs, [0, 1].
    """

    def field(net: Any, number: int, name: str) -> Tensor:
        return torch.from_numpy(net[0, number - 1][name].astype(np.float64))

    def bias(x: Tensor, net: Any, number: int, name: str) -> Tensor:
        return x + field(net, number, name)[:, 0, None, None]

    def conv(x: Tensor, net: Any, number: int) -> Tensor:
        return bias(hwio.conv(x, field(net, number, "w")), net, number, "b")

    def conv_norm_relu(x: Tensor, number: int) -> Tensor:
        x = conv(x, net_p, number)
        mean, spread = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
        x = (x - mean) / (spread + 1e-4).sqrt() * field(net_p, number, "bw")[:, 0, None, None]
        return bias(x, net_p, number, "bb").relu()

    image = picture.double() / 256
    stages = [conv_norm_relu(image, 1)]
    for number in range(2, 7):
        stages.append(conv_norm_relu(F.max_pool2d(stages[-1], 2), number))
    x = stages[-1]
    for number, skip in zip(range(7, 12), (*stages[4:0:-1], None), strict=True):
        x = bias(hwio.transposed(x, field(net_p, number, "upw")), net_p, number, "upb")
        x = conv_norm_relu(x, number)
        x = x if skip is None else x + skip
    maps = conv(x, net_p, 12).softmax(dim=1)

    def scale(x: Tensor, first: int) -> Tensor:
        for number in range(first, first + 3):
            x = conv(x, net_g, number).relu()
        for number in range(first + 3, first + 13, 2):
            x = x + conv(conv(x.relu(), net_g, number).relu(), net_g, number + 1)
        x = conv(x.relu(), net_g, first + 13).relu()
        return conv(conv(x, net_g, first + 14).relu(), net_g, first + 15)

    rows, columns = (bicubic_matrix(n) for n in image.shape[-2:])
    small = rows @ image @ columns.T
    half = scale(torch.cat([small, F.max_pool2d(maps, 2)], 1), 1)
    up = bias(hwio.transposed(half, field(net_g, 17, "w")), net_g, 17, "b")
    return scale(torch.cat([up, image, maps], 1), 18)


@pytest.mark.parametrize("up", ["behind", "transposed"])
def test_released_pair_restores_as_the_authors_demonstration(tmp_path: Path, up: str) -> None:
    source, target = random_method("shen2018", parsing_up=up), method_of("shen2018", seed=3)
    RELEASES["shen2018"].write(tmp_path, source.networks["generator"], lambda _: None)
    target.load_official(tmp_path)
    picture = torch.randint(256, (1, 3, 64, 32), generator=torch.Generator().manual_seed(2))
    nets = [loadmat(tmp_path / f"{net}_P_S_F.mat")[net] for net in ("net_G", "net_P")]
    expected = 2 * demonstration(picture, *nets) - 1
    assert expected.std() > 0.01
    torch.testing.assert_close(
        target.restore(picture / 127.5 - 1), expected.clamp(-1, 1).float(), rtol=0, atol=2e-5
    )


def test_widths_are_the_files(tmp_path: Path) -> None:
    """Options of another size do not matter: the card then says what the file is."""
    source = random_method("shen2018").networks["generator"]
    RELEASES["shen2018"].write(tmp_path, source, lambda _: None)
    method = method_of("shen2018", width=16, parsing_width=4, parsing_up="transposed")
    method.load_official(tmp_path)
    assert method.options.width == 8
    assert method.options.parsing_widths() == [4, 6, 8, 10, 12, 14]
    assert method.options.parsing_up == "behind"


def test_a_folder_holds_one_pair(tmp_path: Path) -> None:
    method = method_of("shen2018")
    with pytest.raises(UserError, match=r"net_G_P_S_F.mat: no such file; accepted: a folder with"):
        method.load_official(tmp_path)
    RELEASES["shen2018"].write(tmp_path, method.networks["generator"], lambda _: None)
    (tmp_path / "net_P_P_S_F_GAN.mat").write_bytes(b"")
    with pytest.raises(UserError, match="holds both released pairs: keep one"):
        method.load_official(tmp_path)
    (tmp_path / "net_P_P_S_F_GAN.mat").unlink()
    (tmp_path / "net_P_P_S_F.mat").unlink()
    with pytest.raises(UserError, match=r"net_P_P_S_F.mat: no such file"):
        method.load_official(tmp_path)
