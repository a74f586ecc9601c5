"""Compiled networks (``training.compile``): a step with fewer and larger kernels, in CUDA graphs.

``torch.compile`` serves the steps of a training alone, whose shapes never change. Everything else
runs the same networks as they are: validation, because each of its shapes would be compiled anew,
and the gradient's shares, because they differentiate one graph several times, which compiled code
cannot. A network is compiled where a method calls it as a whole, and has a ``forward`` of its own:
the prior network is called by its layers, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState

from dfpg.core.device import Precision
from dfpg.methods.base import Method
from dfpg.training.diagnostics import preserve_state
from dfpg.training.step import forward_passes, process_share

if TYPE_CHECKING:
    from dfpg.methods.batch import Batch

BACKEND = "inductor"
TRIALS = 3  # CUDA graphs run a step as it is, then record it, then replay it


@cache
def compiler_fault(device: torch.device) -> str | None:
    """Why torch.compile does not work on a device, in one line; None where it does."""
    try:
        torch.compile(lambda x: x.sin() + 1, backend=BACKEND)(torch.zeros(8, device=device))
    except Exception as error:
        return _reason(error)
    return None


def compile_networks(method: Method, device: torch.device) -> None:
    """Compile a method's networks in place; the names of their weights stay what they are."""
    mode = "reduce-overhead" if device.type == "cuda" else None
    for network in method.networks.values():
        network.compile(backend=BACKEND, mode=mode, dynamic=False)


@contextmanager
def compiled_networks(
    wanted: bool,
    method: Method,
    batch: Callable[[], Batch],
    world: PartialState,
    precision: Precision,
    say: Callable[[str], None],
) -> Iterator[bool]:
    """Compile a method's networks for what is inside :func:`compiled_step`, where that works.

    Where it does not, training begins without it: see :func:`compile_and_try`. A network that
    changes later on, when a phase of the training ends, is compiled anew; where that fails, that
    part runs as it is, and PyTorch warns.

    Args:
        wanted: ``training.compile``.
        method: in training mode, on its device.
        batch: makes a batch of this training's.
        world: see :func:`dfpg.core.device.process_group`.
        precision: of the forward passes.
        say: prints a line: why, where it does not work.

    Yields:
        Whether networks are compiled.
    """
    if not wanted:
        yield False
        return
    fault = compile_and_try(method, batch(), world, precision)
    if fault is not None:
        say(f"training.compile: networks are trained as they are, not compiled: {fault}")
    try:
        with (
            torch.compiler.set_stance("force_eager"),
            torch._dynamo.config.patch(suppress_errors=True),
        ):
            yield fault is None
    finally:
        for network in method.networks.values():
            network._compiled_call_impl = None
        torch._dynamo.reset()  # what was compiled, and the memory of CUDA graphs


@contextmanager
def compiled_step(method: Method) -> Iterator[None]:
    """Inside, a method's networks run compiled.

    What CUDA graphs made in one step is overwritten by the next, gradients too: none is left.
    """
    torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
    try:
        with torch.compiler.set_stance("default"):
            yield
    finally:
        for network in method.networks.values():
            network.zero_grad(set_to_none=True)


def compile_and_try(
    method: Method, batch: Batch, world: PartialState, precision: Precision
) -> str | None:
    """Compile a method's networks and try them in whole steps, but for the optimisers' part.

    A compiler that works can fail on a network, and CUDA graphs on what a step does with it.
    Weights, buffers and random numbers are afterwards what they were.

    Args: as of :func:`compiled_networks`, but for the batch itself.

    Returns:
        Why it does not work; None where it does.
    """
    if fault := compiler_fault(world.device):
        return fault
    compile_networks(method, world.device)
    batch = process_share(batch, world)
    graphs = torch._dynamo.utils.counters["stats"]
    before = graphs["unique_graphs"]
    try:
        with preserve_state(method, world.device):
            for _ in range(TRIALS):
                with compiled_step(method):
                    for phase in forward_passes(method.phases(batch), world, precision):
                        phase.loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        return _reason(error)
    if graphs["unique_graphs"] == before:
        return f"{method.name} calls none of its networks as a whole"
    return None


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "inner_exception", error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
