"""Blur of every size and of both families: what the shipped model is trained on and measured with.

The banks hold kernels of 13 px and more. Smaller ones are banks' kernels shrunk (:func:`shrink`),
since a smaller movement of the camera draws the same path on fewer pixels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfpg.core.config import NOMINAL_SIZES
from dfpg.core.errors import UserError
from dfpg.data.blur.kernels import KernelBank, canvas_size
from dfpg.methods.batch import NO_BLUR
from dfpg.training.batches import Plain, ViewInputs, centre_kernels

SMALL_SIDES = tuple(range(3, NOMINAL_SIZES[0], 2))  # px at 128 px, of kernels that are shrunk
SIDES = (*SMALL_SIDES, *NOMINAL_SIZES)


def shrink(kernel: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Draw a kernel smaller, about its middle.

    The middles of its outermost pixels come to lie on those of the result. The weight of every
    pixel is shared between the pixels that it then lies between, in proportion to its nearness, as
    :func:`dfpg.data.blur.trajectories.rasterise` draws a path. So nothing aliases, no weight is
    lost or negative, and the centroid's distance from the middle shrinks like the kernel.

    Args:
        kernel: [K, K], K odd.
        side: of the result, px; odd, 1 to K.

    Returns:
        Kernel [side, side] of the same sum; a delta where ``side`` is 1.

    Raises:
        ValueError: no such side.
    """
    own = len(kernel)
    if not 1 <= side <= own or side % 2 == 0:
        raise ValueError(f"a kernel of {own} px cannot be shrunk to {side} px")
    places = np.arange(own) * ((side - 1) / max(own - 1, 1))
    shares = np.maximum(0, 1 - np.abs(places - np.arange(side)[:, None]))
    small: NDArray[np.float32] = np.einsum("ij,jk,lk->il", shares, kernel, shares).astype(
        np.float32
    )
    return small


def kernel_of_side(
    kernels: Mapping[int, NDArray[np.float32]], side: int, number: int, image_size: int
) -> NDArray[np.float32]:
    """The ``number``-th kernel of a side.

    A nominal size has its own kernels. The smaller sides have all those of all nominal sizes,
    shrunk; successive numbers are of different nominal sizes.

    Args:
        kernels: one split of a bank: nominal size to [N, K, K], of N kernels each.
        side: of ``SIDES``, or ``NO_BLUR``.
        number: 0, 1, ...; after the last kernel comes the first.
        image_size: px, to which the side scales from 128 px.

    Returns:
        Kernel [K, K] with K = :func:`dfpg.data.blur.kernels.canvas_size`; [1, 1] without blur.
    """
    if side == NO_BLUR:
        return np.ones((1, 1), np.float32)
    if side in kernels:
        kernel: NDArray[np.float32] = kernels[side][number % len(kernels[side])]
        return kernel
    turn, nominal = divmod(number, len(NOMINAL_SIZES))
    bank = kernels[NOMINAL_SIZES[nominal]]
    return shrink(bank[turn % len(bank)], canvas_size(side, image_size))


def count_kernels(kernels: Mapping[int, NDArray[np.float32]], side: int) -> int:
    """How many kernels :func:`kernel_of_side` has of a side."""
    return len(kernels[side]) if side in kernels else sum(map(len, kernels.values()))


class AnyBlur(Plain):
    """Plain batches whose blur is of any size and of both families.

    Every image draws its kernel's family (half each), a side from none and ``SIDES``, a training
    kernel of that side, and the noise's standard deviation from 0 to the protocol's ``noise``.
    ``size`` is the side.
    """

    def __init__(self, inputs: ViewInputs, others: KernelBank) -> None:
        """Check that both banks fit.

        Args:
            inputs: of the view; its kernels are of the protocol's family.
            others: kernels of the other family.

        Raises:
            UserError: no faces, or kernels of another family or image size.
        """
        super().__init__(inputs)
        own = inputs.kernels
        fits = all(others.train[k].shape[1:] == own.train[k].shape[1:] for k in NOMINAL_SIZES)
        if others.family == own.family or not fits:
            raise UserError(
                f"the {others.family} kernels at hand do not go with the {own.family} kernels for "
                f"{self.image_size} px: run `dfpg kernels`"
            )
        self._banks = (own.train, others.train)

    @property
    def keys(self) -> tuple[int, ...]:
        """Sides that are drawn from."""
        return (NO_BLUR, *SIDES) if self.settings.no_blur else SIDES

    def _draw_kernels(self, step: int, sizes: NDArray[np.int64]) -> Tensor:
        drawn = self._stream(step, "kernel").random((self.batch_size, 2))
        chosen = []
        for side, (family, place) in zip(sizes.tolist(), drawn.tolist(), strict=True):
            bank = self._banks[int(family * len(self._banks))]
            number = int(place * count_kernels(bank, side))
            kernel = kernel_of_side(bank, side, number, self.image_size)
            chosen.append(centre_kernels(kernel[None], self.canvas))
        return torch.from_numpy(np.concatenate(chosen))

    def _draw_noise(self, step: int, shape: tuple[int, ...]) -> Tensor:
        """Normal samples whose standard deviation is a share of the protocol's, per image."""
        shares = self._stream(step, "noise level").random(self.batch_size, np.float32)
        return super()._draw_noise(step, shape) * self._on_device(shares)[:, None, None, None]
