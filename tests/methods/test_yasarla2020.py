from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.released import RELEASES, method_of, random_method
from helpers.steps import train
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from dfpg.methods.base import Setting
from dfpg.methods.yasarla2020 import (
    DEBLURRING,
    SEGMENTATION,
    Auxiliary,
    Confidence,
    Dense,
    Generator,
    InstanceNorm,
    Refine,
    ShareSep,
    Yasarla2020,
    Yasarla2020Options,
    dilated_block,
    gradient_loss,
)

SIDE = 32
OPTIONS: dict[str, Any] = {
    "width": 12,
    "segmentation_width": 12,
    "segmentation_steps": 1,
    "segmentation_sharp": 0.5,
    "segmentation_blurred": 0.34,
    "stream_steps": 2,
    "objective": "native",
    "init": "identity",
    "output": "linear",
    "lambda_confidence": 0.06,
    "lambda_perceptual": 1.8e-4,
    "perceptual_input": "authors",
    "confidence_reuse": False,
    "segmentation_statistics": "moving",
}


class Pooled:
    """A prior network whose features are means over 2^(block - 1) pixels."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], str, int]] = []

    def to(self, _device: torch.device) -> Pooled:
        return self

    def features(self, images: Tensor, taps: Any, input: Any) -> list[Tensor]:
        self.calls.append((tuple(taps), input, images.shape[-1]))
        return [F.avg_pool2d(images, 1 << (int(tap[4]) - 1)) for tap in taps]


@dataclass(frozen=True)
class Labelled:
    sharp: Tensor
    blurred: Tensor
    kernels: Tensor
    labels: Tensor


Make = Callable[..., Yasarla2020]


@pytest.fixture
def taps() -> Pooled:
    return Pooled()


@pytest.fixture
def make(taps: Pooled) -> Make:
    def build(inference: bool = False, seed: int = 0, **changes: Any) -> Yasarla2020:
        setting = Setting(SIDE, seed, None if inference else taps, (), "canonical")
        return Yasarla2020("yasarla2020", Yasarla2020Options(**(OPTIONS | changes)), setting)

    return build


@pytest.fixture
def batch(pair: Any) -> Labelled:
    """Kernels that shift by one pixel; labels in four stripes: background, skin, hair, eye."""
    kernels = torch.zeros(4, 3, 3)
    kernels[:, 1, 2] = 1
    stripes = torch.tensor([0, 1, 17, 4], dtype=torch.uint8).repeat_interleave(SIDE // 4)
    return Labelled(pair.sharp, pair.blurred, kernels, stripes.expand(4, SIDE, SIDE).clone())


@pytest.fixture
def two(batch: Labelled) -> Labelled:
    """Half of the images, for trainings."""
    return Labelled(*(values[:2] for values in vars(batch).values()))


def parameters(*networks: nn.Module) -> int:
    return sum(p.numel() for network in networks for p in network.parameters())


def test_networks_have_the_published_sizes_and_cost() -> None:
    with torch.device("meta"):
        generator, auxiliary = Generator(64, 64, True), Auxiliary(64, False)
        image = torch.empty(1, 3, 128, 128)
    segmentation = generator.segmentation
    assert parameters(segmentation) == 6_190_364  # published: 6.19 M
    deblurring = parameters(generator) - parameters(segmentation)
    assert deblurring + parameters(auxiliary) == 8_187_977  # published: 8.19 M
    assert parameters(generator.streams[0], auxiliary.outputs[0]) == 357_177  # 357 k each
    assert parameters(auxiliary.confidence) == 339_107  # 0.34 M
    assert len(list(generator.deblurring())) == len(list(generator.parameters())) - len(
        list(segmentation.parameters())
    )
    with FlopCounterMode(display=False) as counter:
        segmentation(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(34.3, abs=0.06)


def test_dense_blocks_append_to_their_input_and_merges_do_not() -> None:
    x = torch.randn(2, 8, 16, 16)
    assert torch.equal(dilated_block(8, 4)(x)[:, :8], x)
    assert Dense(8, 4, (1, 1), concat=False)(x).shape == (2, 4, 16, 16)


def test_shared_kernel_filters_every_channel_alike() -> None:
    x, layer = torch.randn(2, 5, 8, 8), ShareSep()
    assert torch.equal(layer(x), x)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(1, 1, 3, 3))
    alone = torch.cat([F.conv2d(c, layer.weight, padding=1) for c in x.split(1, 1)], 1)
    torch.testing.assert_close(layer(x), alone)


def test_confidence_blocks_are_three_or_as_released_two() -> None:
    own, reused = Confidence(64, False), Confidence(64, True)
    assert parameters(own) - parameters(reused) == parameters(own.blocks[2]) == 112_128
    images = torch.randn(2, 3, 32, 32)
    for network in (own, reused):
        sure = network(images, images)
        assert sure.shape == (2, 3, 1, 1)
        assert sure.min() > 0
        assert sure.max() < 1


def test_identity_of_the_last_layers_is_exact_and_needs_no_tanh() -> None:
    refine, image = Refine(bounded=False), torch.randn(2, 3, 16, 16)
    refine.start_as_identity()
    torch.testing.assert_close(refine(image), image)
    with pytest.raises(ValidationError, match="output linear"):
        Yasarla2020Options(**(OPTIONS | {"output": "tanh"}))


@pytest.mark.parametrize("width", [12, 16])
def test_identity_start_returns_its_input_at_both_sizes(
    make: Make, batch: Labelled, width: int
) -> None:
    method = make(width=width)
    assert (method.restore(batch.blurred) - batch.blurred).abs().max() < 1e-5
    small = method.networks["generator"](batch.blurred).half
    torch.testing.assert_close(small, batch.blurred[..., ::2, ::2], atol=1e-5, rtol=0)


def test_released_start_is_bounded_and_does_not_return_its_input(
    make: Make, batch: Labelled
) -> None:
    method = make(init="released", output="tanh")
    assert (method.restore(batch.blurred) - batch.blurred).abs().mean() > 0.05
    weight = make(init="released", output="tanh", width=32).networks["generator"].block5.body[2]
    assert weight.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_segmentation_streams_and_the_rest_are_trained_in_this_order(
    make: Make, batch: Labelled
) -> None:
    method = make(segmentation_steps=2, stream_steps=1).train()
    generator = method.networks["generator"]
    seen = []
    for _ in range(4):
        (phase,) = method.phases(batch)
        seen.append((phase.optimiser, "streams" in phase.figures, generator.segmentation.training))
    assert seen == [
        ("segmentation", False, True),
        ("segmentation", False, True),
        ("generator", True, False),
        ("generator", False, False),
    ]
    assert int(generator.state_dict()["steps"]) == 4


def test_each_phase_trains_its_own_networks_only(make: Make, batch: Labelled) -> None:
    method = make(stream_steps=1).train()
    generator = method.networks["generator"]
    segmentation = list(generator.segmentation.parameters())
    (phase,) = method.phases(batch)
    phase.loss.backward()
    assert all(p.grad is not None for p in segmentation)
    assert all(p.grad is None for p in generator.deblurring())
    generator.zero_grad()
    (phase,) = method.phases(batch)
    phase.loss.backward()
    assert all(p.grad is None for p in segmentation)
    assert generator.to_rgb.weight.grad.abs().max() > 0
    owned = [
        p
        for o in method.optimisers(1e-3, 1e-3).values()
        for g in o.param_groups
        for p in g["params"]
    ]
    assert (
        len({id(p) for p in owned})
        == len(owned)
        == len([p for network in method.networks.values() for p in network.parameters()])
    )


def test_frozen_segmentation_keeps_its_statistics(make: Make, batch: Labelled) -> None:
    method = make().train()
    train(method, batch, method.optimisers(1e-3, 1e-3), 1)
    segmentation = method.networks["generator"].segmentation
    before = {key: value.clone() for key, value in segmentation.state_dict().items()}
    method.train()  # as after a validation
    train(method, batch, method.optimisers(1e-3, 1e-3), 2)
    assert all(torch.equal(before[k], v) for k, v in segmentation.state_dict().items())


def test_segmentation_learns_the_four_classes(make: Make, two: Labelled) -> None:
    method = make(segmentation_steps=32, segmentation_sharp=1.0).train()
    train(method, two, method.optimisers(1e-2, 1e-2), 32)
    segmentation = method.networks["generator"].segmentation
    segmentation.train()  # of its own batch: statistics as in training
    found = method.networks["generator"].class_maps(two.sharp).argmax(1)
    expected = torch.tensor([0, 1, 2, 3]).repeat_interleave(SIDE // 4).expand(2, SIDE, SIDE)
    assert (found == expected).float().mean() > 0.8


def test_blurred_images_are_parsed_with_blurred_and_thresholded_labels(
    make: Make, batch: Labelled
) -> None:
    seen: list[Tensor] = []
    for share in (0.0, 1.0):
        method = make(segmentation_sharp=0.0, segmentation_blurred=share).train()
        segmentation = method.networks["generator"].segmentation
        segmentation.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        list(method.phases(batch))
    assert torch.equal(seen[0], batch.sharp)
    assert torch.equal(seen[1], batch.blurred)


def test_gradient_loss_compares_absolute_differences() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    assert gradient_loss(ramp, -ramp) == 0
    assert gradient_loss(3 * ramp, ramp) == 2


def test_total_is_twice_the_sum_of_its_parts(make: Make, batch: Labelled) -> None:
    method = make(segmentation_steps=0, stream_steps=1)
    (phase,) = method.phases(batch)
    assert set(phase.figures) == {
        "content", "half", "confidence", "gradient", "perceptual", "streams",
    }  # fmt: skip
    torch.testing.assert_close(
        phase.loss.detach(), 2 * torch.stack([*phase.figures.values()]).sum()
    )


def test_perfect_images_leave_only_the_price_of_doubt(make: Make, batch: Labelled) -> None:
    perfect = Labelled(batch.sharp, batch.sharp, batch.kernels, batch.labels)
    (phase,) = make(segmentation_steps=0, stream_steps=0).phases(perfect)
    left = {key for key, value in phase.figures.items() if value > 1e-5}
    assert left == {"confidence"}


def test_perceptual_loss_asks_for_the_released_layers_of_both_sizes(
    make: Make, batch: Labelled, taps: Pooled
) -> None:
    list(make(segmentation_steps=0, perceptual_input="canonical").phases(batch))
    full, small = ("relu1_2", "relu2_2", "relu5_3"), ("relu1_2", "relu2_2")
    assert sorted(taps.calls) == sorted(
        2 * [(full, "canonical", SIDE), (small, "canonical", SIDE // 2)]
    )


def test_l1_objective_needs_neither_prior_nor_auxiliary_networks(
    make: Make, batch: Labelled
) -> None:
    method = make(inference=True, objective="l1", segmentation_steps=0)
    assert set(method.networks) == {"generator"}
    (phase,) = method.phases(batch)
    torch.testing.assert_close(
        phase.loss.detach(), (batch.blurred - batch.sharp).abs().mean(), rtol=1e-4, atol=1e-5
    )
    assert not Yasarla2020.needs_prior(method.options)


def test_training_improves_on_the_blurred_input(make: Make, two: Labelled) -> None:
    method = make().train()
    train(method, two, method.optimisers(3e-3, 3e-3), 9)
    blurred, restored = (
        (x - two.sharp).square().mean() for x in (two.blurred, method.restore(two.blurred))
    )
    assert 10 * torch.log10(blurred / restored) > 0.3  # dB


@pytest.mark.parametrize(
    "change",
    [{"width": 8}, {"width": 18}, {"segmentation_sharp": 1.5}, {"objective": "gan"}, {"widht": 16}],
)
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Yasarla2020Options(**(OPTIONS | change))


def test_released_transitions_are_transposed_convolutions(tmp_path: Path) -> None:
    """The segmentation's first one has as many inputs as outputs: its shape does not show it."""
    source, method = random_method("yasarla2020"), method_of("yasarla2020", seed=4)
    RELEASES["yasarla2020"].write(tmp_path, source.networks["generator"], lambda _: None)
    files = {n: torch.load(tmp_path / n, weights_only=True) for n in (DEBLURRING, SEGMENTATION)}
    method.load_official(tmp_path)
    generator = method.networks["generator"]
    square = files[SEGMENTATION]["trans_block1.conv1.weight"]
    assert square.shape == (12, 12, 1, 1)
    stream = files[DEBLURRING]["module.deblur_class3.trans_block5.conv1.weight"]
    for layer, weight in (
        (generator.segmentation.block1[1][2], square),
        (generator.streams[2].block5[1][2], stream),
    ):
        x = torch.randn(1, len(weight), 4, 4, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(layer(x), F.conv_transpose2d(x, weight))
    bilinear = files[DEBLURRING]["module.trans_block5.conv1.weight"]  # a plain one
    assert torch.equal(generator.up[2].weight, bilinear)


def test_statistics_of_the_image_are_those_of_the_released_test_script(make: Make) -> None:
    """It restores one image at a time with a segmentation net that never left its training mode."""
    images = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    script = make(inference=True).networks["generator"].segmentation.train()
    own = make(inference=True, segmentation_statistics="image").networks["generator"]
    own.segmentation.load_state_dict(script.state_dict())
    with torch.no_grad():
        expected = torch.cat([script(image[None])[0].sigmoid() for image in images])
    torch.testing.assert_close(own.eval().class_maps(images), expected)


def test_instance_normalisation_equals_pytorchs_own_with_its_gradient() -> None:
    x = 3 * torch.randn(2, 12, 8, 6, generator=torch.Generator().manual_seed(0)) + 1
    slopes = torch.linspace(-1, 1, x.numel()).view_as(x)
    values, gradients = [], []
    for layer in (InstanceNorm(12), nn.InstanceNorm2d(12)):
        image = x.clone().requires_grad_()
        value = layer(image)
        (value * slopes).sum().backward()
        values.append(value)
        gradients.append(image.grad)
    torch.testing.assert_close(*values, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)
    assert not list(InstanceNorm(12).state_dict())
