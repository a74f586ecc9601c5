"""What all metrics share: their interface, input checks, arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from dfpg.core.errors import UserError

PEAK = 255.0  # of uint8 images
Features = tuple[Tensor, ...]  # each [N, ...]: row i belongs to image i


class Metric(Protocol):
    """Scores restored images against sharp ones; both uint8 RGB [N, 3, H, W]."""

    @property
    def name(self) -> str:
        """Name of the convention, a column of the per-image CSV."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        ...

    @property
    def convention(self) -> str:
        """One sentence: what is computed, and where it is published."""
        ...

    def features(self, sharp: Tensor) -> Features:
        """All that depends on the sharp images alone, to be computed once."""
        ...

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """Scores float64 [N]; ``features`` are those of the same N sharp images.

        Raises:
            UserError: not uint8 [N, 3, H, W], or too small for the metric.
        """
        ...


def check_images(images: Tensor, metric: str, least: int = 1) -> Tensor:
    """The images themselves, if they are uint8 [N, 3, H, W] with sides of at least ``least`` px.

    Raises:
        UserError: they are not.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise UserError(
            f"{metric}: images must be uint8 [N, 3, H, W], not {images.dtype} {list(images.shape)}"
        )
    if min(images.shape[2:]) < least:
        raise UserError(
            f"{metric}: images of {images.shape[3]}x{images.shape[2]} px are too small:"
            f" at least {least} px are needed"
        )
    return images


def check_match(images: Tensor, shape: torch.Size, metric: str) -> None:
    """Compare the shape [N, 3, H, W] of restored and sharp images.

    Raises:
        UserError: they differ.
    """
    if images.shape != shape:
        raise UserError(
            f"{metric}: restored images {list(images.shape)} and sharp images {list(shape)}"
            " must have the same shape"
        )


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions in true float32: TF32 would change LPIPS and d_VGG in the third digit."""
    with (
        torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
        torch.autocast("cuda", enabled=False),
        torch.autocast("cpu", enabled=False),
    ):
        yield
