"""Restoring with every method at its published width: variants of number format and layout.

``compiled`` is measured for DFPGnet at 128 px alone: compiling the others would take longer than
all else together. On a CPU a batch of 16 is measured up to ``CPU_LIMIT``; ``test_metrics.py``
measures DFPGnet at batch 16 and 128 px in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from itertools import product

import pytest
import torch
from torch import Tensor

from bench.inputs import blurred_batch, first_run, profile, untrained_method
from bench.measure import Action, multiply_accumulates
from bench.peak import Arithmetic, convolution_arithmetic
from dfpg.core.device import resolve_precision
from dfpg.evaluation.restore import restore_in_precision
from dfpg.methods.base import Method
from dfpg.methods.names import method_names
from dfpg.methods.registry import build_method, method_class
from dfpg.training.compiled import compiler_fault

SIZES = (64, 128)  # px
BATCHES = (1, 16)
VARIANTS = ("fp32", "channels_last", "bf16", "compiled")
CASES = list(product(method_names(), SIZES, BATCHES))
CPU_LIMIT = 200e9  # multiply-accumulates of a batch
# Largest root mean square difference to fp32, as a share of the root mean square of its output.
TOLERANCE = {"fp32": 0.0, "channels_last": 1e-4, "bf16": 0.1, "compiled": 0.1}
TF32_TOLERANCE = 0.02  # of channels_last, where both compute in TF32 (0.0075 at most on an H200)
COMPILED = ("dfpgnet", 128)


@cache
def restoring_macs(method: str, size: int) -> int:
    """Multiply-accumulates per image, attention products included; nothing is computed."""
    config = profile("paper", max(SIZES))
    with torch.device("meta"):
        network = build_method(config, first_run(config, method), prior=None)
        image = torch.empty(1, 3, size, size)
    return multiply_accumulates(lambda: network.restore(image))


def lower_precision(device: torch.device) -> Arithmetic:
    """What ``training.precision: auto`` means here."""
    if resolve_precision("auto", device) == "bf16":
        return "bf16"
    return convolution_arithmetic(device)


def skip_reason(
    method: str, size: int, batch: int, variant: str, device: torch.device
) -> str | None:
    """Why a case is not measured here."""
    if size <= method_class(method).multiple // 2:
        return f"{method} takes no images of {size} px"
    if variant == "bf16" and lower_precision(device) != "bf16":
        return "no native bf16 here"
    if batch > 1 and device.type == "cpu" and restoring_macs(method, size) * batch > CPU_LIMIT:
        return f"{restoring_macs(method, size) * batch / 1e9:.0f} GMACs are too many for a CPU"
    if variant == "compiled":
        if (method, size) != COMPILED:
            return "compiled for DFPGnet at 128 px alone"
        if fault := compiler_fault(device):
            return f"torch.compile does not work here: {fault}"
    return None


def restore_action(method: Method, image: Tensor, precision: Arithmetic) -> Action:
    """A call of ``restore``."""
    restore = restore_in_precision(method, image.device, "bf16" if precision == "bf16" else "fp32")

    def call() -> Tensor:
        with torch.inference_mode():
            return restore(image)

    return call


def variants(method: str, size: int, batch: int, device: torch.device) -> dict[str, Action]:
    """Calls by variant: bf16 and compiled are channels_last too, as the suite runs networks."""
    config = profile("paper", max(SIZES))
    image = blurred_batch(size, batch, device)
    low = lower_precision(device)
    usual = untrained_method(config, method).to(device).train(False)
    plain = deepcopy(usual)
    for network in plain.networks.values():
        network.to(memory_format=torch.contiguous_format)
    actions = {
        "fp32": restore_action(plain, image, "fp32"),
        "channels_last": restore_action(usual, image, "fp32"),
        "bf16": restore_action(usual, image, "bf16"),
    }
    wanted = {v for v in VARIANTS if skip_reason(method, size, batch, v, device) is None}
    if "compiled" in wanted:
        compiled = deepcopy(usual)
        compiled.infer = torch.compile(compiled.infer, dynamic=False)
        actions["compiled"] = restore_action(compiled, image, low)
    return {name: action for name, action in actions.items() if name in wanted}


@pytest.mark.parametrize(
    ("method", "size", "batch", "variant"),
    [(*case, variant) for case in CASES for variant in VARIANTS],
    ids=lambda value: str(value),
)
def test_restore(
    record: Callable[..., None],
    in_turn: Callable[..., dict],
    device: torch.device,
    method: str,
    size: int,
    batch: int,
    variant: str,
) -> None:
    if reason := skip_reason(method, size, batch, variant, device):
        pytest.skip(reason)
    timings = in_turn(
        f"restore {method} {size} {batch}", lambda: variants(method, size, batch, device)
    )
    reference, restored = timings["fp32"].result, timings[variant].result
    assert restored.shape == (batch, 3, size, size)
    assert restored.dtype == torch.float32
    assert restored.isfinite().all()
    assert restored.abs().max() <= 1
    error = (restored - reference).square().mean().sqrt() / reference.square().mean().sqrt()
    tf32 = variant == "channels_last" and convolution_arithmetic(device) == "tf32"
    assert error <= (TF32_TOLERANCE if tf32 else TOLERANCE[variant])
    low = variant in ("bf16", "compiled")
    record(
        timings[variant],
        subject=method,
        variant=variant,
        image_size=size,
        batch=batch,
        macs=restoring_macs(method, size) * batch,
        arithmetic=lower_precision(device) if low else convolution_arithmetic(device),
    )
