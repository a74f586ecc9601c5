from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import hwio
from helpers.released import RELEASES, method_of, random_method
from helpers.steps import reached_parameters, train
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dfpg.core.errors import UserError
from dfpg.data.blur.degrade import blur
from dfpg.methods.base import Setting
from dfpg.methods.xia2019 import Estimate, Generator, KernelBranch, Xia2019, Xia2019Options

SIDE = 32
CANVAS = 7
OPTIONS: dict[str, Any] = {
    "variant": "blind",
    "width": 8,
    "init": "identity",
    "statistics_decay": 0.9,
    "lambda_swap": 1.0,
    "lambda_self": 1.0,
    "lambda_proxy": 1.0,
    "proxy_noise": 0.0,
}
VARIANTS = ("blind", "nonblind", "supervised")
Make = Callable[..., Xia2019]


@dataclass(frozen=True)
class Pairs:
    sharp: Tensor
    blurred: Tensor
    kernels: Tensor
    blurred2: Tensor
    kernels2: Tensor


class Oracle(nn.Module):
    """Answers with given images (or its input) and kernels, the first time or always."""

    def __init__(self, image: Tensor | None, kernel: Tensor | None, once: bool = False) -> None:
        super().__init__()
        self.image, self.kernel, self.once, self.seen = image, kernel, once, []

    def forward(self, measured: Tensor, with_kernel: bool = False) -> Estimate:
        own = self.image is not None and not (self.once and self.seen)
        self.seen.append(measured)
        image = self.image if own else measured
        return Estimate(image, self.kernel if with_kernel else None)


@pytest.fixture
def make() -> Make:
    def build(size: int = SIDE, **changes: Any) -> Xia2019:
        torch.manual_seed(0)
        setting = Setting(size, 0, None, (), "canonical")
        return Xia2019("xia2019", Xia2019Options(**(OPTIONS | changes)), setting)

    return build


@pytest.fixture
def batch(pair: Any) -> Pairs:
    draw = torch.rand(8, CANVAS, CANVAS, generator=torch.Generator().manual_seed(2)) ** 4
    kernels, kernels2 = (draw / draw.sum((1, 2), keepdim=True)).chunk(2)
    return Pairs(
        pair.sharp, blur(pair.sharp, kernels), kernels, blur(pair.sharp, kernels2), kernels2
    )


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def both(one: Tensor, other: Tensor) -> Tensor:
    return torch.cat([one, other])


def test_networks_have_the_published_sizes_and_cost() -> None:
    with torch.device("meta"):
        generator = Generator(128, 64, 0.99, blind=True)
        plain = Generator(128, 64, 0.99, blind=False)
        image = torch.empty(2, 3, 128, 128)
    assert parameters(plain) == 41_825_667
    assert parameters(generator) == 41_825_667 + 26_450_049
    with FlopCounterMode(display=False) as counter:
        plain(image)
    assert counter.get_total_flops() / 4e9 == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(("size", "canvas"), [(256, 55), (128, 27), (64, 15), (32, 7), (16, 5)])
def test_depth_and_canvas_follow_the_image_size(size: int, canvas: int) -> None:
    with torch.device("meta"):
        generator = Generator(size, 8, 0.99, blind=True)
        image, kernel = generator(torch.empty(2, 3, size, size), with_kernel=True)
    assert 1 << len(generator.encoder) == size
    assert image.shape == (2, 3, size, size)
    assert kernel.shape == (2, canvas, canvas)


def test_kernel_branch_at_128_px_ends_on_the_published_layers() -> None:
    with torch.device("meta"):
        branch = KernelBranch([64, 128, 256, 512, 512, 512, 512], 27, 0.99)
    climb = [layer.convolution.out_channels for layer in branch.climb.layers]
    grow = [(layer.convolution.kernel_size[0], len(layer.bias)) for layer in branch.grow]
    assert climb == [512, 512, 512, 256]
    assert grow == [(4, 128), (4, 64), (4, 64), (3, 64)]


def test_image_size_must_be_a_power_of_two(make: Make) -> None:
    with pytest.raises(UserError, match="image_size: 48 does not suit xia2019"):
        make(size=48)


@pytest.mark.parametrize("variant", VARIANTS)
def test_identity_start_returns_its_input_and_the_released_one_does_not(
    make: Make, batch: Pairs, variant: str
) -> None:
    method = make(variant=variant)
    assert (method.restore(batch.blurred) - batch.blurred).abs().max() < 1e-5
    released = make(variant=variant, init="released")
    assert (released.restore(batch.blurred) - batch.blurred).abs().max() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_blind_variant_has_a_kernel_branch(make: Make, variant: str) -> None:
    assert (make(variant=variant).networks["generator"].kernel is not None) == (variant == "blind")


def test_estimated_kernels_are_distributions(make: Make, batch: Pairs) -> None:
    kernel = make(init="released").train().networks["generator"](batch.blurred, True).kernel
    assert kernel.min() >= 0
    torch.testing.assert_close(kernel.sum((1, 2)), torch.ones(4))
    assert kernel.std() > 1e-4


@pytest.mark.parametrize("variant", ["blind", "nonblind"])
def test_the_truth_has_no_self_and_no_swap_loss(make: Make, batch: Pairs, variant: str) -> None:
    method = make(variant=variant)
    truth = both(batch.kernels, batch.kernels2)
    oracle = Oracle(both(batch.sharp, batch.sharp), truth if variant == "blind" else None)
    method.networks["generator"] = oracle
    (phase,) = method.phases(batch)
    assert phase.figures["self"] < 1e-6
    assert phase.figures["swap"] < 1e-6
    assert phase.figures["proxy_image"] < 1e-6


def test_self_uses_the_own_estimate_and_swap_the_other(make: Make, batch: Pairs) -> None:
    method = make(variant="nonblind", lambda_self=0.3, lambda_swap=0.7, lambda_proxy=0.0)
    method.networks["generator"] = Oracle(None, None)
    (phase,) = method.phases(batch)
    # In [0, 1], and a sum over the two measurements.
    own = (blur(batch.blurred, batch.kernels) - batch.blurred).abs().mean() / 2
    own2 = (blur(batch.blurred2, batch.kernels2) - batch.blurred2).abs().mean() / 2
    swap = (blur(batch.blurred2, batch.kernels) - batch.blurred).abs().mean() / 2
    swap2 = (blur(batch.blurred, batch.kernels2) - batch.blurred2).abs().mean() / 2
    torch.testing.assert_close(phase.figures["self"], own + own2)
    torch.testing.assert_close(phase.figures["swap"], swap + swap2)
    torch.testing.assert_close(phase.loss, 0.3 * (own + own2) + 0.7 * (swap + swap2))


def test_proxy_blurs_the_estimates_with_other_images_kernels(make: Make, batch: Pairs) -> None:
    method, kernels = make(), both(batch.kernels, batch.kernels2)
    method.networks["generator"] = oracle = Oracle(both(batch.sharp, batch.sharp), kernels)
    (phase,) = method.phases(batch)
    expected = blur(both(batch.sharp, batch.sharp), kernels[[7, 0, 1, 2, 3, 4, 5, 6]])
    torch.testing.assert_close(oracle.seen[1], expected)
    apart = (kernels - kernels[[7, 0, 1, 2, 3, 4, 5, 6]]).abs().mean(dim=(1, 2))
    torch.testing.assert_close(phase.figures["proxy_kernel"], apart[:4].mean() + apart[4:].mean())


def test_proxy_noise_is_in_grey_levels(make: Make, batch: Pairs) -> None:
    method = make(variant="nonblind", proxy_noise=5.0)
    method.networks["generator"] = oracle = Oracle(both(batch.sharp, batch.sharp), None)
    list(method.phases(batch))
    kernels = both(batch.kernels, batch.kernels2).roll(1, 0)
    noise = oracle.seen[1] - blur(both(batch.sharp, batch.sharp), kernels)
    assert noise.std().item() == pytest.approx(5 * 2 / 255, rel=0.02)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_kernel_branch_learns_from_the_proxy_alone(make: Make, batch: Pairs, weight: float) -> None:
    method = make(lambda_proxy=weight, init="released").train()
    (phase,) = method.phases(batch)
    phase.loss.backward()
    branch = method.networks["generator"].kernel
    reached = {p.grad is not None for p in branch.parameters() if p.requires_grad}
    assert reached == {weight > 0}


def test_proxy_gives_no_gradient_to_the_estimates_it_is_made_of(make: Make, batch: Pairs) -> None:
    method = make(variant="nonblind", lambda_self=0.0, lambda_swap=0.0)
    image = both(batch.blurred, batch.blurred2).requires_grad_()
    method.networks["generator"] = Oracle(image, None, once=True)
    (phase,) = method.phases(batch)
    phase.loss.backward()
    assert phase.loss > 0
    assert not image.grad.any()


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_supervised_variant_sees_the_sharp_image(
    make: Make, batch: Pairs, variant: str
) -> None:
    method = make(variant=variant)
    (phase,) = method.phases(replace(batch, sharp=batch.sharp * torch.nan))
    assert bool(phase.loss.isfinite()) == (variant != "supervised")


def test_supervised_loss_is_l1_on_both_measurements(make: Make, batch: Pairs) -> None:
    (phase,) = make(variant="supervised").phases(batch)
    errors = [(x - batch.sharp).abs().mean() / 2 for x in (batch.blurred, batch.blurred2)]
    torch.testing.assert_close(phase.loss, errors[0] + errors[1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_reaches_every_parameter_within_three_steps(
    make: Make, batch: Pairs, variant: str
) -> None:
    method = make(variant=variant).train()
    generator = method.networks["generator"]
    reached = reached_parameters(method, batch, method.optimisers(1e-3, 1e-3), 3)
    assert reached == {p for p in generator.parameters() if p.requires_grad}
    frozen = {name for name, p in generator.named_parameters() if not p.requires_grad}
    assert frozen == ({"kernel.last.bias"} if variant == "blind" else set())


def test_evaluation_uses_averaged_statistics_and_training_the_batchs(
    make: Make, batch: Pairs
) -> None:
    method = make(variant="nonblind", init="released").train()
    generator = method.networks["generator"]
    apart, together = generator(batch.blurred[:2]).image, generator(batch.blurred).image[:2]
    assert not torch.allclose(apart, together, atol=1e-3)
    torch.testing.assert_close(
        method.restore(batch.blurred[:1]), method.restore(batch.blurred)[:1], atol=1e-5, rtol=1e-4
    )
    assert generator.training


def test_statistics_decay_is_the_averages(make: Make, batch: Pairs) -> None:
    generator = make(variant="nonblind", statistics_decay=0.75).train().networks["generator"]
    generator(batch.blurred)
    layer = generator.encoder[0]
    mean = layer.convolution((batch.blurred + 1) / 2).mean((0, 2, 3))
    torch.testing.assert_close(layer.norm.running_mean, 0.25 * mean)
    assert layer.norm.eps == 1e-8


def test_weights_are_uniform_with_variance_of_one_over_fan_in(make: Make) -> None:
    generator = make(width=32, init="released").networks["generator"]
    for layer in (generator.encoder[3].convolution, generator.decoder.layers[1].convolution):
        fan_in = layer.in_channels * 16
        assert layer.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.01)
        assert layer.weight.abs().max().item() <= (3 / fan_in) ** 0.5


@pytest.mark.parametrize("variant", ["blind", "nonblind"])
def test_unsupervised_losses_fall(make: Make, batch: Pairs, variant: str) -> None:
    method = make(variant=variant, proxy_noise=2.0).train()
    torch.manual_seed(0)  # noise of the proxy
    history = train(method, batch, method.optimisers(3e-3, 3e-3), 40)
    for name in ("self", "swap") + (("proxy_kernel",) if variant == "blind" else ()):
        assert history[-1][name] < 0.8 * history[0][name]


@pytest.mark.parametrize("variant", ["nonblind", "supervised"])
def test_training_improves_on_the_blurred_input(make: Make, batch: Pairs, variant: str) -> None:
    method = make(variant=variant).train()
    torch.manual_seed(0)  # noise of the proxy
    train(method, batch, method.optimisers(3e-3, 3e-3), 30)
    blurred, restored = (
        (x - batch.sharp).square().mean() for x in (batch.blurred, method.restore(batch.blurred))
    )
    assert 10 * torch.log10(blurred / restored) > 0.3  # dB


@pytest.mark.parametrize(
    "change",
    [{"variant": "semi"}, {"widht": 8}, {"width": 0}, {"statistics_decay": 1.0}],
)
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Xia2019Options(**(OPTIONS | change))


def tensorflow(images: Tensor, path: Path) -> Tensor:
    """The released test code in double precision, for images in [0, 1], from its variables."""
    weights = {n: torch.from_numpy(v).double() for n, v in np.load(path).items()}

    def layer(x: Tensor, name: str, convolution: Any) -> Tensor:
        x = convolution(x, weights[f"{name}_w"])
        mean, variance = (weights[f"{name}_{n}"][:, None, None] for n in ("mu", "var"))
        return ((x - mean) / (variance + 1e-8).sqrt() + weights[f"{name}_b"][:, None, None]).relu()

    levels = sum(name.startswith("econv") and name.endswith("_w") for name in weights)
    maps = [images.double()]
    for number in range(1, levels + 1):
        down = partial(hwio.conv, stride=2)
        maps.append(layer(maps[-1], f"econv_{number}", down))
    x = maps[-1]
    for number in range(1, levels):
        x = layer(x, f"dconv_{number}", hwio.transposed)
        x = torch.cat([x, maps[levels - number]], 1)
    last = f"dconv_{levels}"
    return images + hwio.transposed(x, weights[f"{last}_w"]) + weights[f"{last}_b"][:, None, None]


@pytest.mark.parametrize("variant", ["blind", "nonblind"])
def test_released_model_restores_as_the_authors_code(tmp_path: Path, variant: str) -> None:
    source, method = random_method("xia2019"), method_of("xia2019", seed=3, variant=variant)
    path = RELEASES["xia2019"].write(tmp_path, source.networks["generator"], lambda _: None)
    method.load_official(path)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    expected = 2 * tensorflow(images, path).clamp(0, 1).float() - 1
    torch.testing.assert_close(method.restore(2 * images - 1), expected, rtol=0, atol=1e-5)


def test_a_model_without_kernel_branch_is_refused_where_the_variant_has_one(tmp_path: Path) -> None:
    source = random_method("xia2019", variant="nonblind").networks["generator"]
    path = RELEASES["xia2019"].write(tmp_path, source, lambda _: None)
    assert Xia2019.official_options(path)["variant"] == "nonblind"
    with pytest.raises(UserError, match="no kconv_1_b, wanted"):
        method_of("xia2019").load_official(path)


def test_a_tensorflow_checkpoint_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt-190000.index"
    path.write_bytes(b"\x00\x00\x01" * 40)
    with pytest.raises(UserError, match="checkpoint is written as one by saveNet"):
        method_of("xia2019").load_official(path)


def test_only_supervised_training_gets_new_measurements(make: Make) -> None:
    assert [make(variant=name).view for name in VARIANTS] == ["pairs", "pairs", "fresh_pairs"]
