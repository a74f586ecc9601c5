"""What every method of the registry must keep; a method's own facts are in its own test file."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.kernels import few_sizes_of_motion
from helpers.steps import reached_parameters, train, train_discriminators
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations

from dfpg.core.checked import write_checked
from dfpg.core.device import process_group
from dfpg.data.blur.degrade import blur
from dfpg.methods.base import Method, PriorFeatures, Setting
from dfpg.methods.li2020 import random_trunk
from dfpg.methods.names import method_names
from dfpg.methods.registry import build_restorer, method_class
from dfpg.methods.weights import load_weights, save_weights
from dfpg.pretrained.vggface import WEIGHTS, PriorNetwork
from dfpg.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from dfpg.training.diagnostics import discriminator_auc, gradient_shares, mechanism_figures

SIDE = 32  # px
CANVAS = 7  # of the kernels
# Methods that measure parts of their own (dfpg.paper.mechanisms).
MEASURED = ("dfpgnet", "shen2018", "yasarla2020", "xia2019", "li2020", "wang2021")


CASES = {name: method_class(name).contract for name in method_names()}


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


@cache
def trunk() -> PriorNetwork:
    """The prior network of methods that are built on one; nothing trains it."""
    return random_trunk(0)


def build(
    name: str,
    changes: dict[str, Any] | None = None,
    seed: int = 0,
    size: int = SIDE,
    prior: PriorFeatures | None = None,
) -> Method:
    """A method at its small options plus ``changes``."""
    method = method_class(name)
    options = method.Options.model_validate(CASES[name].small | (changes or {}))
    taps = ("relu1_2", "relu2_2", "relu3_3")
    prior = prior or (AnyTap() if method.encoder is None else trunk())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return method(name, options, Setting(size, seed, prior, taps, "canonical"))


@cache
def built(name: str) -> Method:
    """``build(name)``, to restore with; several tests have the same one."""
    return build(name)


def small(name: str) -> Method:
    """``build(name)``, to train, as a copy, which takes a quarter of the time."""
    return copy.deepcopy(built(name), {id(trunk()): trunk()})


def start(name: str) -> tuple[Method, TrainingState, AnyBatch]:
    """A method, its training's state at the start, and a batch."""
    method = small(name).train()
    torch.manual_seed(7)
    state = TrainingState(method.networks, method.optimisers(1e-3, 1e-3), {})
    return method, state, training_batch(method, 2)


@pytest.fixture(scope="module", autouse=True)
def _few_sizes_of_motion() -> Iterator[None]:
    with few_sizes_of_motion():
        yield


@dataclass(frozen=True)
class Reference:
    """Three steps of a method's training without anything read back or measured between them.

    Attributes:
        checkpoint: folder with what was saved after the second.
        states: of each network after all.
    """

    checkpoint: Path
    states: dict[str, dict[str, Tensor]]

    def assert_equal(self, method: Method) -> None:
        """Fail unless a method's networks are those of this training, bit by bit."""
        for network, expected in self.states.items():
            state = method.networks[network].state_dict()
            assert all(torch.equal(value, state[key]) for key, value in expected.items())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """The reference training of the method of a name."""

    @cache
    def train_three_steps(name: str) -> Reference:
        folder = tmp_path_factory.mktemp(name)
        method, state, batch = start(name)
        train(method, batch, state.optimisers, 2)
        save_checkpoint(folder, state)
        train(method, batch, state.optimisers, 1)
        networks = method.networks.items()
        return Reference(folder, {network: module.state_dict() for network, module in networks})

    return train_three_steps


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


@pytest.mark.parametrize("name", CASES)
def test_options_are_all_required_and_unknown_ones_refused(name: str) -> None:
    schema, small = method_class(name).Options, CASES[name].small
    assert set(schema.model_fields) == set(small)
    for key in small:
        with pytest.raises(ValidationError, match=f"{key}\n.*Field required"):
            schema.model_validate({other: small[other] for other in small if other != key})
    with pytest.raises(ValidationError, match=r"unknown key widht"):
        schema.model_validate(small | {"widht": 8})


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.parameters])
def test_full_width_has_the_published_number_of_parameters(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    # Of the shapes alone: starting values, and their singular vectors, would take seconds.
    for filler in [n for n in vars(nn.init) if n.endswith("_") and not n.startswith("_")]:
        monkeypatch.setattr(nn.init, filler, lambda tensor, *_, **__: tensor)
    monkeypatch.setattr(parametrizations._SpectralNorm, "_power_method", lambda *_: None)
    with torch.device("meta"):
        method = build(name, case.full, size=case.image_size)
    counts = {}
    for path in case.parameters:
        network, _, inside = path.partition(".")
        module = method.networks[network].get_submodule(inside)
        counts[path] = sum(p.numel() for p in module.parameters())
    assert counts == case.parameters


@pytest.mark.parametrize("name", CASES)
def test_restored_image_has_the_inputs_shape_and_range_at_any_size(name: str) -> None:
    method = built(name)
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
    method = built(name).train()
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
    method = small(name).train()
    # A larger step can leave a narrow rectifier without input above 0.
    reached = reached_parameters(
        method, training_batch(method, 2), method.optimisers(1e-4, 1e-4), 3
    )
    names = {
        p: f"{network}.{key}"
        for network, module in method.networks.items()
        for key, p in module.named_parameters()
        if p.requires_grad
    }
    assert sorted(name for p, name in names.items() if p not in reached) == []


@pytest.mark.parametrize("name", CASES)
def test_stored_weights_restore_exactly_as_the_method_that_wrote_them(
    name: str, tmp_path: Path
) -> None:
    method, other = build(name, seed=1).train(), small(name)
    train(method, training_batch(method, 2), method.optimisers(1e-3, 1e-3), 1)
    for value in method.networks["generator"].state_dict().values():
        value.copy_(value.half() if value.is_floating_point() else value)  # as files keep them
    save_weights(tmp_path / "w.safetensors", method, steps=1)
    load_weights(tmp_path / "w.safetensors", other)
    if method.encoder is not None:  # it has a file of its own
        write_checked(tmp_path / WEIGHTS, trunk().state(), {})
    alone = build_restorer(tmp_path / "w.safetensors", torch.device("cpu"), tmp_path)
    expected = method.restore(pictures(2, 6))
    assert torch.equal(other.restore(pictures(2, 6)), expected)
    torch.testing.assert_close(alone.restore(pictures(2, 6)), expected)  # channels_last


@pytest.mark.parametrize("name", CASES)
def test_training_resumes_exactly(name: str, reference: Callable[[str], Reference]) -> None:
    whole = reference(name)
    method, resumed, batch = start(name)
    load_checkpoint(whole.checkpoint, resumed)
    train(method, batch, resumed.optimisers, 1)
    whole.assert_equal(method)


@pytest.mark.parametrize("name", CASES)
def test_diagnostics_leave_the_training_as_it_is(
    name: str, reference: Callable[[str], Reference]
) -> None:
    method, state, batch = start(name)
    train(method, batch, state.optimisers, 1)
    shares = gradient_shares(method, batch, process_group(), "fp32")
    found = discriminator_auc(method, [batch])
    mechanisms = mechanism_figures(method, [batch], ["one", "two"])
    train(method, batch, state.optimisers, 2)
    assert all(math.isfinite(value) for value in mechanisms.values())
    assert bool(mechanisms) == (name in MEASURED)
    for part in method.gradient_parts if shares else ():
        values = [value for key, value in shares.items() if key.endswith(f".{part}")]
        assert sum(values) == pytest.approx(1)
    # Lee's discriminator needs parsing maps, which held-out faces have none of.
    assert bool(found) == ("discriminator" in method.networks and name != "lee2020")
    assert all(0 <= value <= 1 for value in found.values())
    reference(name).assert_equal(method)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("dfpgnet", marks=pytest.mark.slow),  # its own tests have a shorter form
        "shen2018",
        "lu2019",
        "wang2021",
        pytest.param("li2020", marks=pytest.mark.slow),
    ],
)
def test_a_discriminator_that_is_trained_alone_tells_real_from_made(name: str) -> None:
    method = build(name, seed=2).train()  # the untrained one's figure is about 0.5
    batch = training_batch(method, 8)
    train_discriminators(method, batch, method.optimisers(0.0, 2e-3), 10)
    paired = replace(batch, sharp=pictures(8, 0))  # as in validation, for the unpaired view too
    assert discriminator_auc(method, [paired])["discriminator_auc"] > 0.9


# As narrow as here the paper's weight of the adversarial loss drowns the others: those of the
# profile `embedded` (docs/conventions.md).
NARROW = {"dfpgnet": {"lambda_prior": 10.0, "lambda_adversarial": 0.005}}


@pytest.mark.parametrize("name", trainings(sees_sharp=True))
def test_overfits_eight_images(name: str) -> None:
    case, method = CASES[name], build(name, NARROW.get(name)).train()
    batch = training_batch(method, 8)
    optimisers, blurred = method.optimisers(case.lr, case.lr), psnr(batch.blurred, batch.sharp)
    gains: list[float] = []
    while len(gains) < case.steps // 25 and max(gains, default=0) < 6:  # dB
        train(method, batch, optimisers, 25)
        gains.append(psnr(method.restore(batch.blurred), batch.sharp) - blurred)
    assert max(gains) >= 6, gains


@pytest.mark.parametrize("name", trainings(sees_sharp=False))
def test_own_losses_fall_where_no_sharp_target_is_seen(name: str) -> None:
    case, method = CASES[name], build(name).train()
    batch = training_batch(method, 8)
    history = train(method, batch, method.optimisers(case.lr, case.lr), case.steps)
    for loss in case.falling:
        first, last = (sum(step[loss] for step in part) / 5 for part in (history[:5], history[-5:]))
        assert last < first, loss
