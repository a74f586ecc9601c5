from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from helpers.steps import reached_parameters, train
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from dfpg.methods.base import Setting
from dfpg.methods.lee2020 import Discriminator, Generator, Lee2020, Lee2020Options, mask_images
from dfpg.pretrained.parsing import one_hot, to_four

SIDE = 32
OPTIONS: dict[str, Any] = {
    "width": 8,
    "blocks": 1,
    "middle_blocks": 1,
    "discriminator_width": 4,
    "init": "identity",
    "output": "linear",
    "objective": "native",
    "lambda_adversarial": 0.05,
    "lambda_perceptual": 0.05,
    "perceptual_input": "authors",
    "released_detach": False,
    "released_double_sigmoid": False,
}
RELEASED = {"init": "released", "output": "tanh"}
Make = Callable[..., Lee2020]


@dataclass(frozen=True)
class Labelled:
    sharp: Tensor
    blurred: Tensor
    labels: Tensor


@pytest.fixture
def make(prior: Any) -> Make:
    def build(inference: bool = False, **changes: Any) -> Lee2020:
        setting = Setting(SIDE, 0, None if inference else prior, (), "canonical")
        torch.manual_seed(0)
        return Lee2020("lee2020", Lee2020Options(**(OPTIONS | changes)), setting)

    return build


@pytest.fixture
def batch(pair: Any) -> Labelled:
    labels = torch.arange(19).repeat(4 * SIDE * SIDE)[: 4 * SIDE * SIDE].reshape(4, SIDE, SIDE)
    return Labelled(pair.sharp, pair.blurred, labels.to(torch.uint8))


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def giga_macs(network: nn.Module, *inputs: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return counter.get_total_flops() / 2e9


def generator_gradients(method: Lee2020, batch: Labelled) -> list[Tensor]:
    *_, phase = method.phases(batch)
    method.networks["generator"].zero_grad()
    phase.loss.backward()
    return [p.grad.clone() for p in method.networks["generator"].parameters()]


def test_networks_have_the_published_sizes_and_cost() -> None:
    with torch.device("meta"):
        generator, discriminator = Generator(128, 2, 4, "tanh"), Discriminator(64, False)
        image = torch.empty(1, 3, 128, 128)
    assert parameters(generator) == 18_471_308
    assert parameters(discriminator) == 3_148_544
    assert giga_macs(generator, image) == pytest.approx(112.2, abs=0.05)
    assert discriminator([image] * 4).shape == (1, 1, 13, 13)


def test_identity_start_makes_every_stage_return_the_input(make: Make, batch: Labelled) -> None:
    generator = make(blocks=2, middle_blocks=3).networks["generator"]
    images = generator(batch.blurred)
    assert len(images) == 4
    assert max((image - batch.blurred).abs().max() for image in images) < 1e-5


def test_released_start_is_bounded_and_does_not_return_its_input(
    make: Make, batch: Labelled
) -> None:
    generator = make(**RELEASED).networks["generator"]
    with torch.no_grad():
        generator.to_rgb[3].bias.fill_(2.0)
        images = generator(100 * batch.blurred)
    assert all(image.abs().max() <= 1 for image in images)
    assert (images[3] - batch.blurred).abs().mean() > 0.05


def test_stages_are_chained(make: Make, batch: Labelled) -> None:
    generator = make(**RELEASED).networks["generator"]
    before = generator(batch.blurred)
    with torch.no_grad():
        generator.stages[2].de2[0].body[2].bias.add_(1.0)
    after = generator(batch.blurred)
    changed = [not torch.equal(one, other) for one, other in zip(before, after, strict=True)]
    assert changed == [False, False, True, True]


def test_masks_keep_one_class_per_stage_and_the_whole_last_image() -> None:
    images = [torch.full((1, 3, 1, 4), float(stage + 1)) for stage in range(4)]
    masks = one_hot(torch.tensor([[[0, 1, 2, 3]]]), 4)
    rows = [image[0, 0, 0].tolist() for image in mask_images(images, masks)]
    assert rows == [[0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 3], [4, 4, 4, 4]]


def test_pixel_loss_is_the_sum_of_the_stages_on_their_classes(make: Make, batch: Labelled) -> None:
    *_, phase = make().phases(batch)
    four = to_four(batch.labels)
    error = (batch.blurred - batch.sharp).abs()  # the identity start returns the blurred image
    expected = error.mean()
    for number in (1, 2, 3):
        expected = expected + (error * (four == number).unsqueeze(1)).mean()
    torch.testing.assert_close(phase.figures["pixel"], expected, atol=1e-5, rtol=1e-4)


def test_total_is_the_weighted_sum_and_perceptual_that_of_conv3_2(
    make: Make, batch: Labelled, prior: Any
) -> None:
    *_, phase = make(lambda_adversarial=0.3, lambda_perceptual=0.7).phases(batch)
    parts = phase.figures
    expected = parts["pixel"] + 0.3 * parts["adversarial"] + 0.7 * parts["perceptual"]
    torch.testing.assert_close(phase.loss.detach(), expected)
    assert prior.calls == [(("conv3_2",), "authors")] * 2
    one, other = (
        prior.features(x, ["conv3_2"], "authors")[0] for x in (batch.blurred, batch.sharp)
    )
    torch.testing.assert_close(parts["perceptual"], (one - other).abs().mean(), rtol=1e-3, atol=0)


def test_discriminator_loss_is_the_mean_of_real_and_fake(make: Make, batch: Labelled) -> None:
    method = make().train(False)  # no power iteration in between
    phase = next(method.phases(batch))
    masks = one_hot(to_four(batch.labels), 4)
    real, fake = (
        method.networks["discriminator"](mask_images([x] * 4, masks))
        for x in (batch.sharp, batch.blurred)
    )
    one, zero = torch.ones_like(real), torch.zeros_like(fake)
    entropy = F.binary_cross_entropy_with_logits
    expected = (entropy(real, one) + entropy(fake, zero)) / 2
    torch.testing.assert_close(phase.loss, expected, atol=1e-5, rtol=1e-4)


def test_released_defects_are_off_unless_asked_for(make: Make, batch: Labelled) -> None:
    plain = generator_gradients(make(lambda_adversarial=0.0, lambda_perceptual=0.0), batch)
    detached = generator_gradients(make(released_detach=True), batch)
    whole = generator_gradients(make(), batch)
    assert all(map(torch.equal, plain, detached))
    assert not all(map(torch.equal, plain, whole))
    logits, doubled = (
        make(released_double_sigmoid=flag).networks["discriminator"]([-40 * batch.sharp] * 4)
        for flag in (False, True)
    )
    torch.testing.assert_close(doubled, F.leaky_relu(logits, 0.2).sigmoid())
    assert (logits.min() < 0) or (logits.max() > 1)


def test_generator_phase_leaves_the_discriminator_alone(make: Make, batch: Labelled) -> None:
    method = make()
    discriminator, phases = method.networks["discriminator"], method.phases(batch)
    next(phases).loss.backward()
    assert all(p.grad.abs().max() > 0 for p in discriminator.parameters())
    assert all(p.grad is None for p in method.networks["generator"].parameters())
    discriminator.zero_grad()
    next(phases).loss.backward()
    assert all(p.grad is None and p.requires_grad for p in discriminator.parameters())


def test_discriminators_convolutions_have_spectral_norm_one(make: Make, batch: Labelled) -> None:
    discriminator = make().networks["discriminator"].train()
    with torch.no_grad():
        for _ in range(40):  # one power iteration each
            discriminator([batch.sharp] * 4)
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() for layer in layers]
    assert norms == pytest.approx([1.0] * 13, abs=0.05)
    assert all(layer.bias is None for layer in layers)


def test_l1_trains_the_last_image_alone_and_needs_no_prior(make: Make, batch: Labelled) -> None:
    method = make(objective="l1", inference=True)
    assert set(method.networks) == {"generator"}
    assert not Lee2020.needs_prior(method.options)
    assert Lee2020.needs_prior(make().options)
    (phase,) = method.phases(batch)
    torch.testing.assert_close(phase.loss, (batch.blurred - batch.sharp).abs().mean())


def test_gradient_reaches_every_parameter_within_three_steps(make: Make, batch: Labelled) -> None:
    method = make().train()
    reached = reached_parameters(method, batch, method.optimisers(1e-3, 1e-3), 3)
    assert reached == {p for network in method.networks.values() for p in network.parameters()}


@pytest.mark.parametrize("objective", ["native", "l1"])
def test_training_improves_on_the_blurred_input(
    make: Make, batch: Labelled, objective: str
) -> None:
    method = make(objective=objective).train()
    train(method, batch, method.optimisers(2e-3, 1e-4), 10)
    blurred, restored = (
        (x - batch.sharp).square().mean() for x in (batch.blurred, method.restore(batch.blurred))
    )
    assert 10 * torch.log10(blurred / restored) > 0.3  # dB


def test_inference_needs_no_prior_and_training_says_so(make: Make, batch: Labelled) -> None:
    method = make(inference=True)
    assert method.restore(batch.blurred).shape == batch.blurred.shape
    with pytest.raises(ValueError, match="built for inference"):
        next(method.phases(batch))


@pytest.mark.parametrize(
    "change", [{"objective": "l2"}, {"widht": 8}, {"blocks": 0}, {"output": "tanh"}]
)
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Lee2020Options(**(OPTIONS | change))
