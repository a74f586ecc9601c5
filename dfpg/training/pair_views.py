"""Views with two measurements of every face: what Xia and Chakrabarti 2019 train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfpg.core.seeds import generator
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import add_noise, blur
from dfpg.methods.batch import PairBatch, contents
from dfpg.training.batches import Plain, ViewInputs, reseed
from dfpg.training.transfer import to_device


class Pairs(Plain):
    """Two measurements of each face (:class:`PairBatch`), for Xia and Chakrabarti 2019.

    As in the released code there are no others: view, kernels and noise of a face are the same
    whenever it comes again, in the order of the plain batches.
    """

    def batch(self, step: int) -> PairBatch:
        """Batch of ``step``."""
        rows = self.face_indices(step)
        sharp = torch.cat([self._view(row) for row in rows.tolist()])
        first, second = (self._measure(rows, sharp, name) for name in ("first", "second"))
        faces = self._on_device(rows)
        return PairBatch(sharp, *first, faces, *second)

    def _view(self, row: int) -> Tensor:
        picture = to_device(self._pictures[row : row + 1], self.device)
        stream = self._face_stream(row, "view")
        return face_views(
            picture, self.settings.crop, self.settings.augmentation, self.image_size, stream
        )

    def _measure(
        self, rows: NDArray[np.int64], sharp: Tensor, name: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Blurred faces [N, 3, H, W], kernels [N, K, K] and sizes [N] of one measurement."""
        sizes, kernels, noise = [], [], []
        for row in rows.tolist():
            stream = self._face_stream(row, name)
            size = int(stream.choice(self.keys))
            sizes.append(size)
            kernels.append(self.kernel(size, stream.random()))
            noise.append(stream.standard_normal(tuple(sharp.shape[1:]), np.float32))
        blurring = to_device(torch.stack(kernels), self.device)
        drawn = self._on_device(np.stack(noise))
        blurred = add_noise(blur(sharp, blurring), drawn, self.settings.noise, white=2)
        return blurred, blurring, to_device(torch.tensor(sizes), self.device)

    def _face_stream(self, row: int, name: str) -> np.random.Generator:
        return generator(self.seed, "pairs", self.protocol, row, name)


class FreshPairs(Plain):
    """The plain batch with a second measurement, both new whenever a face comes again.

    So the released code trains where it sees sharp faces (``variant: supervised``).
    """

    def __init__(self, inputs: ViewInputs) -> None:
        super().__init__(inputs)
        self.second = Plain(replace(inputs, config=reseed(inputs.config, "second")))

    def batch(self, step: int) -> PairBatch:
        """Batch of ``step``."""
        plain = super().batch(step)
        blurred, kernels, size = self.second.blur_images(plain.sharp, step)
        return PairBatch(**contents(plain), blurred2=blurred, kernels2=kernels, size2=size)
