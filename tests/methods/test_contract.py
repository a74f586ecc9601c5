"""What every method of the registry must keep; a method's own facts are in its own test file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.data.blur.degrade import blur
from dfpg.methods.base import Method, Setting, load_weights, save_weights
from dfpg.methods.registry import METHODS, build_restorer
from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint

SIDE = 32  # px
CANVAS = 7  # of the kernels


@dataclass(frozen=True)
class Case:
    """How the contract is put to one method.

    Attributes:
        small: all options, at a small width, for 32 px.
        full: options that make it the published size.
        parameters: published counts by path: a network's name, or a module inside it
            ("generator.segmentation").
        image_size: side in px that ``parameters`` holds at.
        identity: changes of ``small`` whose step 0 returns its input; None if there are none.
        l1: changes of ``small`` that train on the plain L1 distance; None if there are none.
        sees_sharp: the objective sees the sharp image of the blurred one.
        falling: losses that fall in training, by the names of their figures, where it does not.
        lr: learning rate of all networks, and ``steps`` the number of steps, of those trainings.
        quick: the training is part of the default test run.
    """

    small: dict[str, Any]
    full: dict[str, Any]
    parameters: dict[str, int]
    image_size: int = 128
    identity: dict[str, Any] | None = field(default_factory=lambda: {"init": "identity"})
    l1: dict[str, Any] | None = field(default_factory=lambda: {"objective": "l1"})
    sees_sharp: bool = True
    falling: tuple[str, ...] = ()
    lr: float = 1e-3
    steps: int = 300
    quick: bool = False


CASES: dict[str, Case] = {
    "dfpgnet": Case(
        small={
            "variant": "b6",
            "width": 8,
            "blocks": 1,
            "prior_blocks": 1,
            "init": "identity",
            "output": "linear",
            "lambda_prior": 1.0,
            "lambda_adversarial": 0.05,
            "lambda_perceptual": 0.05,
            "perceptual_input": "lab",
            "prior_reduction": "mean_chw",
            "prior_scale": "rms",
            "prior_fusion": "add",
        },
        full={"width": 64, "blocks": 5, "prior_blocks": 10, "init": "released", "output": "tanh"},
        parameters={"generator": 44_661_379, "discriminator": 4_148_188},
        l1={"variant": "b1"},
        lr=3e-3,
    ),
    "zhang2019": Case(
        small={"width": 12, "objective": "native", "init": "identity"},
        full={"width": 32, "init": "released"},
        parameters={"generator": 5_424_393},
    ),
    "nafnet": Case(
        small={
            "width": 8,
            "encoder_blocks": [1, 1, 1, 2],
            "middle_blocks": 1,
            "decoder_blocks": [1, 1, 1, 1],
            "objective": "native",
            "init": "identity",
            "weight_decay": 1e-3,
            "pixels": "centred",
        },
        full={"width": 32, "encoder_blocks": [1, 1, 1, 28], "init": "released"},
        parameters={"generator": 17_111_907},
        lr=3e-3,
        quick=True,
    ),
    "restormer": Case(
        small={
            "width": 8,
            "blocks": [1, 1, 1, 1],
            "refinement_blocks": 1,
            "heads": [1, 2, 4, 8],
            "expansion": 2.66,
            "objective": "native",
            "init": "identity",
            "weight_decay": 1e-4,
            "clip_norm": 0.01,
            "pixels": "centred",
        },
        full={"width": 48, "blocks": [4, 6, 6, 8], "refinement_blocks": 4, "init": "released"},
        parameters={"generator": 26_126_644},
        lr=3e-3,
    ),
    "lee2020": Case(
        small={
            "width": 8,
            "blocks": 1,
            "middle_blocks": 1,
            "discriminator_width": 4,
            "init": "identity",
            "output": "linear",
            "objective": "native",
            "lambda_adversarial": 0.05,
            "lambda_perceptual": 0.05,
            "perceptual_input": "lab",
            "released_detach": False,
            "released_double_sigmoid": False,
        },
        full={
            "width": 128,
            "blocks": 2,
            "middle_blocks": 4,
            "discriminator_width": 64,
            "init": "released",
            "output": "tanh",
        },
        parameters={"generator": 18_471_308, "discriminator": 3_148_544},
        lr=5e-3,
    ),
    "xia2019": Case(
        small={
            "variant": "blind",
            "width": 8,
            "init": "identity",
            "statistics_decay": 0.9,
            "lambda_swap": 1.0,
            "lambda_self": 1.0,
            "lambda_proxy": 1.0,
            "proxy_noise": 2.0,
        },
        full={"width": 64, "init": "released"},
        parameters={"generator": 41_825_667 + 26_450_049, "generator.kernel": 26_450_049},
        l1=None,
        sees_sharp=False,
        falling=("self", "swap"),
    ),
    "yasarla2020": Case(
        small={
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
            "perceptual_input": "lab",
            "confidence_reuse": False,
            "segmentation_statistics": "moving",
        },
        full={"width": 64, "segmentation_width": 64, "init": "released", "output": "tanh"},
        parameters={
            "generator": 13_811_338,
            "generator.segmentation": 6_190_364,
            "auxiliary": 567_003,
        },
        l1={"objective": "l1", "segmentation_steps": 0},
        lr=3e-3,
    ),
    "lu2019": Case(
        small={
            "width": 8,
            "latent": 8,
            "discriminator_width": 8,
            "discriminator_scales": 2,
            "generator_every": 1,
            "lambda_adversarial": 1.0,
            "lambda_kl": 0.01,
            "lambda_cycle": 10.0,
            "lambda_reconstruction": 10.0,
            "lambda_latent": 10.0,
            "lambda_perceptual": 0.1,
            "perceptual_input": "lab",
            "weight_decay": 1e-4,
        },
        full={"width": 64, "discriminator_width": 64, "discriminator_scales": 3},
        parameters={
            "generator.content": 9_018_112,
            "generator.blur": 1_344_080,
            "generator": 9_018_112 + 1_344_080 + 9_563_878 + 832,
            "discriminator.sharp_encoded": 8_271_171,
            "discriminator": 4 * 8_271_171,
        },
        identity=None,
        l1=None,
        sees_sharp=False,
        falling=("cycle", "reconstruction"),
        lr=1e-3,
        steps=40,
    ),
    "shen2018": Case(
        small={
            "width": 16,
            "parsing_width": 4,
            "discriminator_width": 4,
            "parsing_steps": 1,
            "parsing_sharp": 0.5,
            "objective": "native",
            "output": "residual",
            "pixels": "centred",
            "lambda_structural": 1.0,  # components: 38 % of these images, 5 % of a face
            "lambda_perceptual": 1e-5,
            "lambda_adversarial": 5e-5,
            "perceptual_input": "canonical",
            "parsing_up": "transposed",
            "parsing_statistics": "moving",
        },
        full={
            "width": 64,
            "parsing_width": 64,
            "discriminator_width": 64,
            "output": "image",
            "pixels": "unit",
        },
        parameters={
            "generator": 3_118_937 + 23_444_939,
            "generator.parsing": 23_444_939,
            "discriminator": 2_762_945,
        },
        identity={},
        l1={"objective": "l1", "parsing_steps": 0},
    ),
    "wang2021": Case(
        small={
            "objective": "native",
            "size": None,
            "channels": 32,
            "multiplier": 1,
            "style": 32,
            "discriminator_channels": 16,
            "prior_steps": 1,
            "fix_prior": False,
            "pyramid_steps": 1000,
            "r1": 10.0,
            "r1_every": 16,
            "betas": [0.9, 0.99],
            "lambda_pixel": 10.0,
            "lambda_perceptual": 0.01,
            "lambda_style": 0.0,
            "lambda_adversarial": 0.01,
            "lambda_identity": 0.0,
            "lambda_pyramid": 1.0,
            "perceptual_input": "lab",
        },
        full={"channels": 512, "style": 512, "size": 512},
        parameters={"generator": 76_207_244},
        image_size=512,
        identity=None,
        lr=3e-3,
    ),
    "li2020": Case(
        small={
            "objective": "native",
            "init": "identity",
            "output": "residual",
            "size": None,
            "width": 8,
            "atoms": 8,
            "dictionary_steps": 2,
            "components": {
                "left_eye": [0.354, 0.468, 0.179],
                "right_eye": [0.644, 0.469, 0.179],
                "nose": [0.497, 0.643, 0.112],
                "mouth": [0.5, 0.762, 0.246],
            },
            "discriminator_width": 8,
            "lambda_pixel": 100.0,
            "lambda_perceptual": [0.5, 1.0, 2.0, 4.0],
            "lambda_adversarial": [1.0, 1.0],
        },
        full={"width": 64},
        parameters={},
        lr=5e-3,
    ),
}


class AnyTap:
    """A prior network of rectified random projections, at the resolution of each VGG-16 layer."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}

    def to(self, _device: torch.device) -> AnyTap:
        return self

    def features(self, images: Tensor, taps: Any, input: Any) -> list[Tensor]:
        values = images * (127.5 if input == "canonical" else 1.0)
        return [self._layer(values, tap) for tap in taps]

    def _layer(self, values: Tensor, tap: str) -> Tensor:
        block = int(next(c for c in tap if c.isdigit()))
        if tap not in self.weights:
            stream = torch.Generator().manual_seed(len(self.weights))
            channels = min(64 << (block - 1), 512)
            self.weights[tap] = 0.2 * torch.randn(channels, 3, 3, 3, generator=stream)
        pooled = F.avg_pool2d(values, 1 << (block if tap.startswith("pool") else block - 1))
        projected = F.conv2d(pooled, self.weights[tap], padding=1)
        return projected if tap.startswith("conv") else projected.relu()


@dataclass(frozen=True)
class AnyBatch:
    """The fields of all training views in one."""

    sharp: Tensor
    blurred: Tensor
    kernels: Tensor
    size: Tensor
    faces: Tensor
    labels: Tensor
    blurred2: Tensor
    kernels2: Tensor


def pictures(count: int, seed: int) -> Tensor:
    """Random images [count, 3, SIDE, SIDE] in [-1, 1] of patches with edges."""
    stream = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, SIDE // 4, SIDE // 4, generator=stream)
    return F.interpolate(3 * noise, size=SIDE, mode="bilinear").clamp(-1, 1)


def motion(count: int) -> Tensor:
    """Kernels [count, CANVAS, CANVAS]: lines of four directions in turn."""
    line = torch.zeros(CANVAS, CANVAS)
    line[CANVAS // 2] = 1
    lines = [line, torch.eye(CANVAS), line.T, torch.eye(CANVAS).flip(1)]
    return torch.stack([lines[i % 4] for i in range(count)]) / CANVAS


def training_batch(method: Method, count: int) -> AnyBatch:
    """A batch for any view; for "unpaired" ones ``sharp`` shows other images."""
    sharp = pictures(count, 0)
    kernels, kernels2 = motion(count), motion(count + 1)[1:]
    labels = torch.randint(19, (count, 4, 4), generator=torch.Generator().manual_seed(1))
    unpaired = method.view == "unpaired"
    return AnyBatch(
        sharp=pictures(count, 2) if unpaired else sharp,
        blurred=blur(sharp, kernels),
        kernels=kernels,
        size=torch.full((count,), 27),
        faces=torch.arange(count),
        labels=labels.repeat_interleave(SIDE // 4, 1).repeat_interleave(SIDE // 4, 2).byte(),
        blurred2=blur(sharp, kernels2),
        kernels2=kernels2,
    )


def build(
    name: str, changes: dict[str, Any] | None = None, seed: int = 0, size: int = SIDE
) -> Method:
    """A method at its small options plus ``changes``."""
    method = METHODS[name].method
    options = method.Options.model_validate(CASES[name].small | (changes or {}))
    taps = ("relu1_2", "relu2_2", "relu3_3")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return method(name, options, Setting(size, seed, AnyTap(), taps, "canonical"))


Hook = Callable[[str], None]


def train(
    method: Method,
    optimisers: dict[str, Any],
    batch: AnyBatch,
    steps: int,
    after_backward: Hook | None = None,
) -> list[dict[str, float]]:
    """Steps on one batch as the loop does them; the figures of each."""
    history = []
    for _ in range(steps):
        figures: dict[str, float] = {}
        for phase in method.phases(batch):
            optimisers[phase.optimiser].zero_grad(set_to_none=True)
            phase.loss.backward()
            if after_backward:
                after_backward(phase.optimiser)
            optimisers[phase.optimiser].step()
            figures |= {key: value.item() for key, value in phase.figures.items()}
        history.append(figures)
    return history


def psnr(images: Tensor, sharp: Tensor) -> float:
    """Mean over images, dB."""
    error = (images - sharp).square().mean(dim=(1, 2, 3)) / 4
    return float(-10 * error.log10().mean())


def trainings(sees_sharp: bool) -> list[Any]:
    """Names of the methods with or without sight of the sharp image, slow ones so marked."""
    return [
        pytest.param(name, marks=() if case.quick else pytest.mark.slow)
        for name, case in CASES.items()
        if case.sees_sharp == sees_sharp
    ]


def test_every_method_of_the_registry_is_under_contract() -> None:
    assert set(CASES) == set(METHODS)


@pytest.mark.parametrize("name", CASES)
def test_options_are_all_required_and_unknown_ones_refused(name: str) -> None:
    schema, small = METHODS[name].method.Options, CASES[name].small
    assert set(schema.model_fields) == set(small)
    for key in small:
        with pytest.raises(ValidationError, match=f"{key}\n.*Field required"):
            schema.model_validate({other: small[other] for other in small if other != key})
    with pytest.raises(ValidationError, match=r"widht\n.*Extra inputs are not permitted"):
        schema.model_validate(small | {"widht": 8})


@pytest.mark.parametrize("name", CASES)
def test_full_width_has_the_published_number_of_parameters(name: str) -> None:
    case = CASES[name]
    method = build(name, case.full, size=case.image_size)
    counts = {}
    for path in case.parameters:
        network, _, inside = path.partition(".")
        module = method.networks[network].get_submodule(inside)
        counts[path] = sum(p.numel() for p in module.parameters())
    assert counts == case.parameters


@pytest.mark.parametrize("name", CASES)
def test_restored_image_has_the_inputs_shape_and_range_at_any_size(name: str) -> None:
    method = build(name)
    side = max(SIDE, method.multiple)
    for height, width in ((side, side), (side + 1, side + 10)):
        blurred = F.interpolate(3 * pictures(2, 3), size=(height, width))
        restored = method.restore(blurred)
        assert restored.shape == blurred.shape
        assert restored.dtype == torch.float32
        assert restored.isfinite().all()
        assert restored.abs().max() <= 1


@pytest.mark.parametrize("name", CASES)
def test_restoring_is_deterministic_and_keeps_the_training_mode(name: str) -> None:
    method = build(name).train()
    blurred = pictures(3, 4)
    before = torch.get_rng_state()
    first = method.restore(blurred)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(method.restore(blurred), first)
    assert method.networks["generator"].training
    torch.testing.assert_close(method.restore(blurred[1:2]), first[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.identity is not None])
def test_identity_start_returns_its_input(name: str) -> None:
    blurred = pictures(2, 5)
    assert (build(name, CASES[name].identity).restore(blurred) - blurred).abs().max() < 1e-5


@pytest.mark.parametrize(
    "name", [n for n, case in CASES.items() if case.identity is not None and case.l1 is not None]
)
def test_l1_objective_is_the_mean_absolute_difference_of_output_and_sharp_image(name: str) -> None:
    method = build(name, CASES[name].identity | CASES[name].l1)
    batch = training_batch(method, 2)
    *_, phase = method.phases(batch)
    assert phase.optimiser == "generator"
    expected = (batch.blurred - batch.sharp).abs().mean()
    torch.testing.assert_close(phase.loss.detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_gradient_reaches_every_trainable_parameter_within_three_steps(name: str) -> None:
    method = build(name).train()
    # A larger step can leave a narrow rectifier without input above 0.
    optimisers = method.optimisers(1e-4, 1e-4)
    names = {
        p: f"{network}.{key}"
        for network, module in method.networks.items()
        for key, p in module.named_parameters()
        if p.requires_grad
    }
    reached: set[str] = set()

    def note(optimiser: str) -> None:
        for group in optimisers[optimiser].param_groups:
            for p in group["params"]:
                if p.grad is not None and p.grad.abs().max() > 0:
                    reached.add(names[p])

    train(method, optimisers, training_batch(method, 4), 3, note)
    assert sorted(set(names.values()) - reached) == []


@pytest.mark.parametrize("name", CASES)
def test_stored_weights_restore_exactly_as_the_method_that_wrote_them(
    name: str, tmp_path: Path
) -> None:
    method, other = build(name, seed=1).train(), build(name, seed=2)
    train(method, method.optimisers(1e-3, 1e-3), training_batch(method, 2), 1)
    save_weights(tmp_path / "w.safetensors", method, steps=1)
    load_weights(tmp_path / "w.safetensors", other)
    alone = build_restorer(tmp_path / "w.safetensors", torch.device("cpu"))
    expected = method.restore(pictures(2, 6))
    assert torch.equal(other.restore(pictures(2, 6)), expected)
    torch.testing.assert_close(alone.restore(pictures(2, 6)), expected)  # channels_last


@pytest.mark.parametrize("name", CASES)
def test_training_resumes_exactly(name: str, tmp_path: Path) -> None:
    def start() -> TrainingState:
        methods.append(build(name).train())
        torch.manual_seed(7)
        return TrainingState(methods[-1].networks, methods[-1].optimisers(1e-3, 1e-3), {})

    methods: list[Method] = []
    whole = start()
    batch = training_batch(methods[0], 2)
    train(methods[0], whole.optimisers, batch, 4)
    part = start()
    train(methods[1], part.optimisers, batch, 2)
    save_checkpoint(tmp_path, part)
    resumed = start()
    load_checkpoint(tmp_path, resumed)
    train(methods[2], resumed.optimisers, batch, 2)
    for network, module in whole.networks.items():
        state = resumed.networks[network].state_dict()
        assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", trainings(sees_sharp=True))
def test_overfits_eight_images(name: str) -> None:
    case, method = CASES[name], build(name).train()
    batch = training_batch(method, 8)
    optimisers, blurred = method.optimisers(case.lr, case.lr), psnr(batch.blurred, batch.sharp)
    gains: list[float] = []
    while len(gains) < case.steps // 25 and max(gains, default=0) < 6:  # dB
        train(method, optimisers, batch, 25)
        gains.append(psnr(method.restore(batch.blurred), batch.sharp) - blurred)
    assert max(gains) >= 6, gains


@pytest.mark.parametrize("name", trainings(sees_sharp=False))
def test_own_losses_fall_where_no_sharp_target_is_seen(name: str) -> None:
    case, method = CASES[name], build(name).train()
    batch = training_batch(method, 8)
    history = train(method, method.optimisers(case.lr, case.lr), batch, case.steps)
    for loss in case.falling:
        first, last = (sum(step[loss] for step in part) / 5 for part in (history[:5], history[-5:]))
        assert last < first, loss
