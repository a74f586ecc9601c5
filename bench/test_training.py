"""One training step of DFPGnet: all phases, gradients, optimisers, as the training loop does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from bench.inputs import blurred_faces, prior_network, profile, sharp_faces, untrained_method
from bench.measure import Action, Timing, multiply_accumulates
from bench.peak import Arithmetic, convolution_arithmetic
from dfpg.core.device import Precision, process_group, resolve_precision, set_deterministic
from dfpg.data.blur.degrade import to_signed
from dfpg.methods.base import Method
from dfpg.pretrained.vggface import PriorNetwork
from dfpg.training.step import training_step

# Profile, image size in px, images per step: a CPU takes few at full width.
EMBEDDED, FULL, FULL_ON_CPU = ("embedded", 64, 8), ("paper", 128, 16), ("paper", 128, 2)
TOLERANCE = 0.02  # of a loss in bf16, as a share of that in fp32


@dataclass(frozen=True)
class Pair:
    """A training batch, float [N, 3, H, W] in [-1, 1]."""

    sharp: Tensor
    blurred: Tensor


@pytest.fixture(scope="module")
def prior(device: torch.device) -> Iterator[PriorNetwork]:
    """The prior network, and the deterministic settings that trainings run with."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    set_deterministic()
    yield prior_network(device)
    torch.use_deterministic_algorithms(before[0])
    torch.backends.cudnn.deterministic = before[1]


def step_action(
    method: Method, batch: Pair, precision: Precision
) -> Callable[[], dict[str, float]]:
    """A call that makes one more step and returns its losses by optimiser."""
    method.train()
    optimisers, world = method.optimisers(1e-4, 1e-5), process_group()

    def step() -> dict[str, float]:
        figures = training_step(method, batch, optimisers, world, precision)
        return {name: figures[f"loss_{name}"] for name in optimisers}

    return step


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("width", ["embedded", "full"])
def test_training_step(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    prior: PriorNetwork,
    device: torch.device,
    width: str,
    precision: Arithmetic,
) -> None:
    precisions = ["fp32", "bf16"] if resolve_precision("auto", device) == "bf16" else ["fp32"]
    if precision not in precisions:
        pytest.skip("no native bf16 here")
    full = FULL_ON_CPU if device.type == "cpu" else FULL
    name, size, count = EMBEDDED if width == "embedded" else full
    sharp, blurred = (to_signed(f(size)[:count]).to(device) for f in (sharp_faces, blurred_faces))

    def step(precision: str) -> Action:
        method = untrained_method(profile(name, size), "dfpgnet", prior).to(device)
        return step_action(method, Pair(sharp, blurred), precision)

    timings = in_turn(f"training {width}", lambda: {p: step(p) for p in precisions})
    first, reference = timings[precision].result, timings["fp32"].result
    assert first.keys() == {"discriminator", "generator"}
    for loss, value in first.items():
        assert value == pytest.approx(reference[loss], rel=TOLERANCE if precision == "bf16" else 0)
    record(
        timings[precision],
        subject=f"dfpgnet_{width}",
        variant=precision,
        image_size=size,
        batch=count,
        macs=multiply_accumulates(step("fp32")),
        arithmetic="bf16" if precision == "bf16" else convolution_arithmetic(device),
    )
