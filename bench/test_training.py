"""One training step of DFPGnet: all phases, gradients, optimisers, as the training loop does it.

``compiled`` is the step in the lower precision with ``training.compile``, at full width on CUDA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
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
from dfpg.training.compiled import compile_and_try, compiled_step
from dfpg.training.step import training_step

# Profile, image size in px, images per step: a CPU takes few at full width.
EMBEDDED, FULL, FULL_ON_CPU = ("embedded", 64, 8), ("paper", 128, 16), ("paper", 128, 2)
VARIANTS = ("fp32", "bf16", "compiled")
# Of a loss, as a share of that in fp32.
TOLERANCE = {"fp32": 0.0, "bf16": 0.02, "compiled": 0.02}
faults: list[str] = []  # why compiling has failed


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


def skip_reason(variant: str, width: str, device: torch.device) -> str | None:
    """Why a variant is not measured here."""
    if variant == "bf16" and resolve_precision("auto", device) != "bf16":
        return "no native bf16 here"
    if variant == "compiled":
        if device.type != "cuda":
            return "compiling a step takes minutes on a CPU, and gains nothing"
        if width != "full":
            return "compiled at full width alone"
    return None


def step_action(
    method: Method, batch: Pair, precision: Precision, compiled: bool = False
) -> Callable[[], dict[str, float]]:
    """A call that makes one more step and returns its losses by optimiser."""
    method.train()
    optimisers, world = method.optimisers(1e-4, 1e-5), process_group()

    def step() -> dict[str, float]:
        with compiled_step(method) if compiled else nullcontext():
            figures = training_step(method, batch, optimisers, world, precision)
        return {name: figures[f"loss_{name}"] for name in optimisers}

    return step


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", ["embedded", "full"])
def test_training_step(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    prior: PriorNetwork,
    device: torch.device,
    width: str,
    variant: str,
) -> None:
    if reason := skip_reason(variant, width, device):
        pytest.skip(reason)
    low = resolve_precision("auto", device)
    full = FULL_ON_CPU if device.type == "cpu" else FULL
    name, size, count = EMBEDDED if width == "embedded" else full
    sharp, blurred = (to_signed(f(size)[:count]).to(device) for f in (sharp_faces, blurred_faces))

    def network() -> Method:
        return untrained_method(profile(name, size), "dfpgnet", prior).to(device)

    def steps() -> dict[str, Action]:
        wanted = {v for v in VARIANTS if skip_reason(v, width, device) is None}
        batch = Pair(sharp, blurred)
        actions = {"fp32": step_action(network(), batch, "fp32")}
        if "bf16" in wanted:
            actions["bf16"] = step_action(network(), batch, low)
        if "compiled" in wanted:
            method = network().train()
            if fault := compile_and_try(method, batch, process_group(), low):
                faults.append(fault)
            else:
                actions["compiled"] = step_action(method, batch, low, compiled=True)
        return actions

    timings = in_turn(f"training {width}", steps)
    if variant not in timings:
        pytest.skip(f"torch.compile does not work here: {faults[-1]}")
    first, reference = timings[variant].result, timings["fp32"].result
    assert first.keys() == {"discriminator", "generator"}
    for loss, value in first.items():
        assert value == pytest.approx(reference[loss], rel=TOLERANCE[variant])
    arithmetic: Arithmetic = convolution_arithmetic(device)
    record(
        timings[variant],
        subject=f"dfpgnet_{width}",
        variant=variant,
        image_size=size,
        batch=count,
        macs=multiply_accumulates(step_action(network(), Pair(sharp, blurred), "fp32")),
        arithmetic="bf16" if variant != "fp32" and low == "bf16" else arithmetic,
    )
