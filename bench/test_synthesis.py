"""Blur synthesis: the convolution alone, against the FFT, and whole training batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.inputs import blurred_faces, profile, sharp_faces, untrained_method
from bench.measure import Action, Timing, multiply_accumulates
from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.device import process_group
from dfpg.data.blur.degrade import blur, to_signed
from dfpg.data.blur.kernels import KernelBank, canvas_size, make_kernels
from dfpg.data.faces.dataset import FaceSet
from dfpg.methods.base import Method
from dfpg.training.batches import BatchSource
from dfpg.training.prefetch import Batches, prefetched
from dfpg.training.step import training_step

BATCH, STEPS = 16, 16
SIDES = (13, 27)  # nominal sizes of the kernels at 128 px


@cache
def kernel_bank(size: int) -> KernelBank:
    """Spline kernels, few per size."""
    config = profile("smoke", size)
    train, test = (
        {k: make_kernels(config, "spline", split, k) for k in NOMINAL_SIZES}
        for split in ("train", "test")
    )
    return KernelBank("spline", train, test)


def blur_fft(images: Tensor, kernels: Tensor) -> Tensor:
    """The same convolution by FFT: what the grouped convolution is measured against."""
    half, (height, width) = kernels.shape[-1] // 2, images.shape[-2:]
    padded = F.pad(images, (half, half, half, half), mode="reflect")
    shape = padded.shape[-2:]
    product = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=shape).unsqueeze(1)
    whole = torch.fft.irfft2(product, s=shape)
    return whole[..., 2 * half : 2 * half + height, 2 * half : 2 * half + width]


@pytest.mark.parametrize("way", ["convolution", "fft"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", [64, 128])
def test_blur(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    size: int,
    side: int,
    way: str,
) -> None:
    images = to_signed(sharp_faces(size)[:BATCH]).to(device)
    bank = torch.from_numpy(kernel_bank(size).train[side]).to(device)
    kernels = bank[torch.arange(BATCH, device=device) % len(bank)]
    assert kernels.shape[-1] == canvas_size(side, size)
    ways = {"convolution": blur, "fft": blur_fft}
    timings = in_turn(
        f"blur {size} {side}",
        lambda: {name: lambda f=f: f(images, kernels) for name, f in ways.items()},
        budget=1.0,
    )
    blurred = timings[way].result
    assert torch.allclose(blurred, timings["convolution"].result, atol=1e-5)
    assert blurred.diff().square().mean() < images.diff().square().mean()
    macs = multiply_accumulates(lambda: blur(images, kernels)) if way == "convolution" else None
    record(
        timings[way],
        subject=f"kernel_{side}",
        variant=way,
        image_size=size,
        batch=BATCH,
        macs=macs,
        arithmetic="fp32" if macs else None,
    )


def batch_source(
    size: int, batch: int, device: torch.device, noise_on_device: bool = False
) -> BatchSource:
    """Batches of protocol B."""
    config = profile("embedded", size)
    training = config.training.model_copy(update={"noise_on_device": noise_on_device})
    config = config.model_copy(update={"training": training})
    pictures = blurred_faces(160).permute(0, 2, 3, 1).numpy()
    count = len(pictures)
    faces = FaceSet(
        pictures,
        tuple(f"p{i}" for i in range(count)),
        tuple(f"{i}.png" for i in range(count)),
        np.zeros((count, 5, 2), np.float32),
    )
    return BatchSource(config, "b", faces, kernel_bank(size), batch, device)


@pytest.mark.parametrize("noise", ["by NumPy", "on the device"])
@pytest.mark.parametrize("size", [64, 128])
def test_training_batch(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    size: int,
    noise: str,
) -> None:
    sources = {
        name: batch_source(size, BATCH, device, noise_on_device=name == "on the device")
        for name in ("by NumPy", "on the device")
    }
    timings = in_turn(
        f"batch {size}",
        lambda: {name: partial(source.batch, 0) for name, source in sources.items()},
        budget=1.0,
    )
    batch = timings[noise].result
    assert batch.sharp.shape == batch.blurred.shape == (BATCH, 3, size, size)
    assert batch.blurred.isfinite().all()
    assert torch.equal(batch.blurred, sources[noise].batch(0).blurred)
    assert torch.equal(batch.sharp, timings["by NumPy"].result.sharp)
    record(
        timings[noise],
        subject="protocol_b",
        variant=f"noise {noise}",
        image_size=size,
        batch=BATCH,
    )


@pytest.mark.parametrize("variant", ["in line", "ahead"])
def test_training_steps(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    variant: str,
) -> None:
    """Steps of the embedded profile's NAFNet, each batch made before its step or during the last.

    On a CPU the second is done with one thread alone: ``OMP_NUM_THREADS=1``.
    """
    config = profile("embedded", 64)
    count = config.training.batch_size
    source = batch_source(64, count, device)

    def step_all(batches: Batches, method: Method) -> list[float]:
        optimisers, world = method.optimisers(1e-4, 1e-5), process_group()
        return [
            training_step(method, batches.batch(step), optimisers, world)["loss_generator"]
            for step in range(STEPS)
        ]

    def step_ahead(method: Method) -> list[float]:
        with prefetched(source, STEPS, device) as ahead:
            return step_all(ahead, method)

    def network() -> Method:
        return untrained_method(config, "nafnet").to(device).train()

    def ways() -> dict[str, Action]:
        return {
            "in line": partial(step_all, source, network()),
            "ahead": partial(step_ahead, network()),
        }

    timings = in_turn("steps", ways, budget=20.0)
    assert timings[variant].result == timings["in line"].result
    record(
        timings[variant],
        subject="nafnet_steps",
        variant=variant,
        image_size=64,
        batch=count * STEPS,
    )
