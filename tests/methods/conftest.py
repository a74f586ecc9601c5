"""A prior network of random projections and small methods built on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.methods.base import Setting
from dfpg.methods.dfpgnet import DFPGNet, DFPGNetOptions

SIDE = 32
TAPS = ("relu1_2", "relu2_2", "relu3_3")
OPTIONS: dict[str, Any] = {
    "variant": "b6",
    "width": 8,
    "blocks": 1,
    "prior_blocks": 1,
    "init": "identity",
    "output": "linear",
    "lambda_prior": 1.0,
    "lambda_adversarial": 0.05,
    "lambda_perceptual": 0.05,
    "perceptual_input": "authors",
    "unweighted_prior": True,
    "prior_reduction": "mean_chw",
    "prior_scale": "rms",
    "discriminator_input": "same_scale",
    "prior_fusion": "add",
    "scale_offset": 1,
}


class FakePrior:
    """Rectified random 3x3 projections at full, half and quarter resolution."""

    def __init__(self) -> None:
        stream = torch.Generator().manual_seed(3)
        self.weights = {
            tap: torch.randn(n, 3, 3, 3, generator=stream)
            for tap, n in {**dict(zip(TAPS, (64, 128, 256), strict=True)), "conv3_2": 256}.items()
        }
        self.calls: list[tuple[tuple[str, ...], str]] = []

    def to(self, _device: torch.device) -> FakePrior:
        return self

    def features(self, images: Tensor, taps: Any, input: Any) -> list[Tensor]:
        self.calls.append((tuple(taps), input))
        gain = 127.5 if input == "canonical" else 1.0
        levels = {"relu1_2": 1, "relu2_2": 2}
        return [
            F.conv2d(
                F.avg_pool2d(gain * images, levels.get(t, 4)), self.weights[t], padding=1
            ).relu()
            for t in taps
        ]


@dataclass(frozen=True)
class Pair:
    sharp: Tensor
    blurred: Tensor


@pytest.fixture
def prior() -> FakePrior:
    return FakePrior()


ABSENT: Any = object()  # in place of the prior network


@lru_cache(maxsize=8)  # a discriminator has 4 M parameters
def _built(seed: int, options: tuple[tuple[str, Any], ...]) -> DFPGNet:
    setting = Setting(SIDE, seed, ABSENT, TAPS, "canonical")
    return DFPGNet("dfpgnet", DFPGNetOptions(**dict(options)), setting)


@pytest.fixture
def make(prior: FakePrior) -> Callable[..., DFPGNet]:
    """A method to train, as a copy, which takes a quarter of the time; or one to restore with."""

    def build(inference: bool = False, seed: int = 0, **changes: Any) -> DFPGNet:
        options = OPTIONS | changes
        if inference:
            setting = Setting(SIDE, seed, None, TAPS, "canonical")
            return DFPGNet("dfpgnet", DFPGNetOptions(**options), setting)
        return copy.deepcopy(_built(seed, tuple(options.items())), {id(ABSENT): prior})

    return build


@pytest.fixture
def options() -> dict[str, Any]:
    return dict(OPTIONS)


@pytest.fixture
def pair() -> Pair:
    """Four smooth random images and their box blur."""
    noise = torch.randn(4, 3, SIDE // 4, SIDE // 4, generator=torch.Generator().manual_seed(5))
    sharp = F.interpolate(noise, size=SIDE, mode="bilinear").clamp(-1, 1)
    return Pair(sharp, F.avg_pool2d(F.pad(sharp, (3, 3, 3, 3), mode="reflect"), 7, 1))
