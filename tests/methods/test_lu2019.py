from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.released import method_of
from helpers.steps import step, train
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.errors import UserError
from dfpg.methods.base import Setting
from dfpg.methods.lu2019 import (
    BlurEncoder,
    Discriminator,
    Generator,
    Lu2019,
    Lu2019Options,
    adversarial,
)

SIDE = 32
OPTIONS: dict[str, Any] = {
    "width": 8,
    "latent": 8,
    "discriminator_width": 8,
    "discriminator_scales": 2,
    "generator_every": 2,
    "lambda_adversarial": 1.0,
    "lambda_kl": 0.01,
    "lambda_cycle": 10.0,
    "lambda_reconstruction": 10.0,
    "lambda_latent": 10.0,
    "lambda_perceptual": 0.1,
    "perceptual_input": "authors",
    "weight_decay": 1e-4,
}


class Edges:
    """A prior network of one random convolution."""

    def __init__(self) -> None:
        self.weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))

    def to(self, _device: torch.device) -> Edges:
        return self

    def features(self, images: Tensor, taps: Any, input: Any) -> list[Tensor]:
        assert input == "authors"
        return [F.conv2d(images, self.weight) for _ in taps]


class Unpaired:
    def __init__(self, count: int = 4) -> None:
        noise = torch.randn(2, count, 3, 4, 4, generator=torch.Generator().manual_seed(5))
        sharp, blurred = (F.interpolate(n, size=SIDE, mode="bicubic").clamp(-1, 1) for n in noise)
        self.sharp = sharp
        self.blurred = F.avg_pool2d(F.pad(blurred, (3, 3, 3, 3), mode="reflect"), 7, 1)


@pytest.fixture
def make() -> Callable[..., Lu2019]:
    def build(inference: bool = False, **changes: Any) -> Lu2019:
        setting = Setting(SIDE, 0, None if inference else Edges(), (), "canonical")
        torch.manual_seed(0)
        return Lu2019("lu2019", Lu2019Options(**(OPTIONS | changes)), setting)

    return build


Make = Callable[..., Lu2019]


def size(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_parameters_are_the_released_codes() -> None:
    generator = Generator(64, 8)
    affine = [m for m in generator.modules() if isinstance(m, nn.GroupNorm)]
    assert size(generator.content) == 9_018_112
    assert size(generator.blur) == 1_344_080
    assert size(*affine) == 832
    assert size(generator.shared, generator.decoders) - size(*affine) == 9_563_878
    assert size(Discriminator(64, 3)) == 8_271_171


def test_blur_encoder_is_the_released_codes_written_out() -> None:
    """Every convolution of more than one pixel sees its input reflected, never zeros."""
    torch.manual_seed(3)
    encoder, image = BlurEncoder(4, 2).double(), torch.randn(2, 3, 20, 16, dtype=torch.float64)
    state = encoder.state_dict()

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        pad = 0 if weight.shape[-1] == 1 else 1
        return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect"), weight, bias, stride)

    def rectified(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    x = conv(image, "features.0", stride=2)
    for block in ("features.1", "features.2", "features.3"):
        y = conv(rectified(conv(rectified(x), f"{block}.body.1")), f"{block}.body.3")
        x = F.avg_pool2d(y, 2) + conv(F.avg_pool2d(x, 2), f"{block}.shortcut.1")
    pooled = rectified(x).mean(dim=(2, 3))
    for found, name in zip(encoder(image), ("mean", "log_variance"), strict=True):
        expected = pooled @ state[f"{name}.weight"].T + state[f"{name}.bias"]
        torch.testing.assert_close(found, expected.float())


def test_discriminators_step_always_and_encoders_every_second_step(make: Make) -> None:
    method = make().train()
    optimisers = method.optimisers(1e-3, 1e-3)
    order: list[str] = []
    for name, optimiser in optimisers.items():
        optimiser.register_step_pre_hook(lambda *_, name=name: order.append(name))
    for expected in [["discriminator", "generator", "generator"], ["discriminator"]] * 2:
        step(method, Unpaired(), optimisers)
        assert order == expected
        order.clear()
    assert int(method.networks["discriminator"].step) == 4


def test_whose_turn_it_is_is_part_of_the_state(make: Make) -> None:
    method, other = make(), make()
    list(method.phases(Unpaired()))
    other.networks["discriminator"].load_state_dict(method.networks["discriminator"].state_dict())
    assert [p.optimiser for p in other.phases(Unpaired())] == ["discriminator"]


def test_updates_reach_the_networks_they_are_meant_for(make: Make) -> None:
    method = make().train()
    generator, discriminators = method.networks["generator"], method.networks["discriminator"]

    def reached(module: nn.Module) -> set[bool]:
        return {p.grad is not None and bool(p.grad.any()) for p in module.parameters()}

    phases, seen = method.phases(Unpaired()), []
    for phase in phases:
        for network in (generator, discriminators):
            network.zero_grad(set_to_none=True)
        phase.loss.backward()
        parts = (generator.content, generator.blur, generator.decoders, discriminators)
        seen.append([True in reached(part) for part in parts])
        if len(seen) == 2:  # biases before a normalisation get none but rounding
            weights = [p for n, p in generator.named_parameters() if n.endswith("weight")]
            assert all(p.grad is not None and bool(p.grad.any()) for p in weights)
    assert seen == [
        [False, False, False, True],
        [True, True, True, False],
        [True, False, True, False],
    ]


def test_adversarial_loss_is_the_binary_cross_entropy_summed_over_scales() -> None:
    logits = [torch.tensor([[0.3, -2.0]]), torch.tensor([[1.5]])]
    for real in (True, False):
        expected = sum(
            F.binary_cross_entropy(x.sigmoid(), torch.full_like(x, float(real))) for x in logits
        )
        torch.testing.assert_close(adversarial(logits, real), expected)


def test_kl_is_that_of_two_normal_distributions_at_the_released_batch_size(make: Make) -> None:
    method, batch = make().train(), Unpaired()
    mean, log_variance = method.networks["generator"].blur(batch.blurred[:2])
    own = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    unit = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    phases = list(method.phases(batch))
    # As the released code sums over the one image that it encodes in a step.
    expected = torch.distributions.kl_divergence(own, unit).sum(dim=1).mean()
    torch.testing.assert_close(phases[1].figures["kl"], expected.detach())


def test_discriminator_scales_see_half_the_size_each() -> None:
    logits = Discriminator(4, 3)(torch.zeros(2, 3, 64, 96))
    assert [tuple(x.shape) for x in logits] == [(2, 1, 4, 6), (2, 1, 2, 3), (2, 1, 1, 1)]


def test_inference_is_deterministic_without_content_noise(make: Make) -> None:
    method, batch = make().train(), Unpaired()
    one, two = method.restore(batch.blurred), method.restore(batch.blurred)
    assert torch.equal(one, two)
    network = method.networks["generator"]
    assert not torch.equal(network(batch.blurred), network(batch.blurred))


@pytest.mark.parametrize("count", [1, 3])
def test_odd_batches_train_too(make: Make, count: int) -> None:
    losses = [p.loss for p in make().train().phases(Unpaired(count))]
    assert len(losses) == 3
    assert all(torch.isfinite(loss) for loss in losses)


def test_weights_start_normal_with_deviation_002(make: Make) -> None:
    weight = make(width=16).networks["generator"].shared.body[0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_its_own_losses_fall(make: Make) -> None:
    method, batch = make().train(), Unpaired()
    steps = train(method, batch, method.optimisers(2e-3, 2e-4), 40)[::2]
    for name in ("cycle", "reconstruction"):
        values = [figures[name] for figures in steps]
        assert sum(values[-3:]) < 0.9 * sum(values[:3])


def test_inference_needs_no_discriminator_and_training_says_so(make: Make) -> None:
    method = make(inference=True)
    assert set(method.networks) == {"generator"}
    assert method.restore(Unpaired().blurred).shape == (4, 3, SIDE, SIDE)


@pytest.mark.parametrize("change", [{"widht": 8}, {"width": 7}, {"lambda_kl": -1.0}])
def test_bad_options_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        Lu2019Options(**(OPTIONS | change))


def test_a_checkpoint_without_a_part_is_refused(tmp_path: Path) -> None:
    torch.save({"enc_c": {}, "gen": {}}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"net.pth: no enc_a; accepted: a checkpoint of UID-GAN"):
        method_of("lu2019").load_official(tmp_path / "net.pth")
