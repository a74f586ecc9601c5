"""Training batches: content is a pure function of (seed, protocol, step) and the batch size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfpg.core.config import NOMINAL_SIZES, Config, ProtocolName
from dfpg.core.errors import UserError
from dfpg.core.schedule import training_steps
from dfpg.core.seeds import derive_seed, generator
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import add_noise, blur
from dfpg.data.blur.kernels import KernelBank, canvas_size
from dfpg.data.faces.dataset import FaceSet
from dfpg.methods.batch import NO_BLUR, Batch
from dfpg.training.transfer import to_device

Labels = NDArray[np.uint8]  # parsing maps of the training faces


class BatchSource:
    """Makes the batch of any step, in any order, the same for every method of a protocol.

    Everything random is drawn on the CPU; sampling and blur run on ``device``. With
    ``training.noise_on_device`` the noise is drawn there, too, by a generator of PyTorch's that is
    seeded anew for every step. What it draws depends on the kind of device, and on CUDA on the
    model: which thread draws a value follows from how many the GPU has.
    """

    def __init__(
        self,
        config: Config,
        protocol: ProtocolName,
        faces: FaceSet,
        kernels: KernelBank,
        batch_size: int,
        device: torch.device,
    ) -> None:
        """Check that faces and kernels fit the protocol.

        Raises:
            UserError: no faces, or kernels of another family or image size.
        """
        self.protocol: ProtocolName = protocol
        self.settings = config.protocols[protocol]
        if not len(faces.pictures):
            raise UserError(
                f"protocols.{protocol}.source: {self.settings.source} has no training faces"
            )
        canvas = {k: canvas_size(k, config.image_size) for k in NOMINAL_SIZES}
        if kernels.family != self.settings.kernels or any(
            kernels.train[k].shape[-1] != canvas[k] for k in NOMINAL_SIZES
        ):
            raise UserError(
                f"protocols.{protocol}.kernels: the {kernels.family} kernels at hand are not the "
                f"{self.settings.kernels} kernels for {config.image_size} px: "
                "run `dvc repro kernels`"
            )
        self.seed = config.seed
        self.noise_on_device = config.training.noise_on_device
        self.image_size = config.image_size
        self.batch_size = batch_size
        self.device = device
        self.canvas = max(canvas.values())
        self._pictures = torch.from_numpy(faces.pictures)
        self._kernels = {
            k: torch.from_numpy(centre_kernels(kernels.train[k], self.canvas))
            for k in NOMINAL_SIZES
        }
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)

    def batch(self, step: int) -> Batch:
        """Batch of ``step`` (0, 1, ...)."""
        faces, sharp = self.sharp_images(step)
        blurred, kernels, size = self.blur_images(sharp, step)
        return Batch(sharp=sharp, blurred=blurred, kernels=kernels, size=size, faces=faces)

    def sharp_images(self, step: int) -> tuple[Tensor, Tensor]:
        """Indices [N] and sharp views [N, 3, H, W] of the faces of a step."""
        faces = torch.from_numpy(self.face_indices(step))
        sharp = face_views(
            to_device(self._pictures[faces], self.device),
            self.settings.crop,
            self.settings.augmentation,
            self.image_size,
            self._stream(step, "view"),
        )
        return to_device(faces, self.device), sharp

    def blur_images(self, sharp: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sharp views blurred and noisy [N, 3, H, W], kernels [N, K, K] and sizes [N]."""
        sizes = self.sizes(step)
        kernels = to_device(self._draw_kernels(step, sizes), self.device)
        noise = self._draw_noise(step, tuple(sharp.shape))
        blurred = add_noise(blur(sharp, kernels), noise, self.settings.noise, white=2)
        return blurred, kernels, self._on_device(sizes)

    def face_indices(self, step: int) -> NDArray[np.int64]:
        """Faces [N] of a step: every face comes once per epoch, in an order of that epoch."""
        first = step * self.batch_size
        places = np.arange(first, first + self.batch_size)
        epochs, rows = np.divmod(places, len(self._pictures))
        pairs = zip(epochs.tolist(), rows.tolist(), strict=True)
        return np.array([self._epoch(epoch)[row] for epoch, row in pairs])

    def sizes(self, step: int) -> NDArray[np.int64]:
        """Nominal kernel sizes [N] of a step, 0 = no blur: one for all, or one per image."""
        count = 1 if self.settings.size_draw == "batch" else self.batch_size
        drawn = self._stream(step, "size").choice(self.keys, count)
        return np.broadcast_to(drawn, self.batch_size).astype(np.int64)

    @property
    def keys(self) -> tuple[int, ...]:
        """Nominal sizes that are drawn from."""
        return (NO_BLUR, *NOMINAL_SIZES) if self.settings.no_blur else NOMINAL_SIZES

    def kernel(self, size: int, share: float) -> Tensor:
        """Kernel [K, K] of a nominal size, at a share from 0 to 1 of its bank; 0: no blur."""
        if size == NO_BLUR:
            delta = torch.zeros(self.canvas, self.canvas)
            delta[self.canvas // 2, self.canvas // 2] = 1
            return delta
        bank = self._kernels[size]
        return bank[int(share * len(bank))]

    def _on_device(self, array: NDArray[Any]) -> Tensor:
        return to_device(torch.from_numpy(array), self.device)

    def _stream(self, step: int, *axes: str) -> np.random.Generator:
        return generator(self.seed, *self._axes(step, *axes))

    def _axes(self, step: int, *axes: str) -> tuple[str | int, ...]:
        return ("batch", self.protocol, step, *axes)

    def _draw_noise(self, step: int, shape: tuple[int, ...]) -> Tensor:
        """Standard normal samples on the device."""
        if not self.noise_on_device:
            return self._on_device(self._stream(step, "noise").standard_normal(shape, np.float32))
        seed = derive_seed(self.seed, *self._axes(step, "noise"))
        stream = torch.Generator(self.device).manual_seed(seed)
        return torch.randn(shape, generator=stream, device=self.device)

    def _draw_epoch(self, epoch: int) -> NDArray[np.int64]:
        stream = generator(self.seed, "batch", self.protocol, "epoch", epoch)
        return stream.permutation(len(self._pictures))

    def _draw_kernels(self, step: int, sizes: NDArray[np.int64]) -> Tensor:
        shares = self._stream(step, "kernel").random(self.batch_size)
        pairs = zip(sizes.tolist(), shares.tolist(), strict=True)
        return torch.stack([self.kernel(size, share) for size, share in pairs])


def centre_kernels(kernels: NDArray[np.float32], canvas: int) -> NDArray[np.float32]:
    """Kernels [N, K, K] in the middle of an odd, larger canvas: [N, canvas, canvas]."""
    margin = (canvas - kernels.shape[-1]) // 2
    return np.pad(kernels, ((0, 0), (margin, margin), (margin, margin)))


@dataclass(frozen=True)
class ViewInputs:
    """What the batches of a run are made of, whatever view of them its method takes.

    Attributes:
        config: the whole configuration.
        run_name: key under ``runs``; states protocol and number of steps.
        faces: training faces of the protocol.
        kernels: kernels of the protocol.
        device: where sampling and blur run.
        labels: parsing maps uint8 [faces, S, S]; None where the view needs none.
    """

    config: Config
    run_name: str
    faces: FaceSet
    kernels: KernelBank
    device: torch.device
    labels: Labels | None = None


class Plain(BatchSource):
    """The batches themselves, and the base of the views of them."""

    def __init__(self, inputs: ViewInputs) -> None:
        config = inputs.config
        super().__init__(
            config,
            config.runs[inputs.run_name].protocol,
            inputs.faces,
            inputs.kernels,
            config.training.batch_size,
            inputs.device,
        )
        self.steps = training_steps(config, inputs.run_name)


def reseed(config: Config, axis: str) -> Config:
    """The same configuration with streams of its own."""
    return config.model_copy(update={"seed": derive_seed(config.seed, "view", axis)})
