"""Validation: what a method makes of people and kernels that no training and no test uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from dfpg.core.config import NOMINAL_SIZES, Config, ProtocolName
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.seeds import generator
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import add_noise, blur, quantise, quantise_unit, to_signed, to_unit
from dfpg.data.blur.kernels import KernelBank
from dfpg.data.faces.dataset import SHARES, FaceSet, load_faces
from dfpg.data.stratify import choose_faces, choose_pairs
from dfpg.methods.base import Method
from dfpg.methods.batch import Batch
from dfpg.metrics.psnr import psnr
from dfpg.training.batches import centre_kernels
from dfpg.training.diagnostics import discriminator_auc, mechanism_figures, standard_error
from dfpg.training.ema import use_weights

CHUNK = 16  # images at a time
UNBLURRED = 16  # faces at most that are restored without blur
# The discriminator gets every second image: its pass costs twice that of restoring.
DISCRIMINATOR_STRIDE = 2
PSNR_CAP = 60.0  # dB; PSNR of equal images, and of those that differ less

# Figures of a method as it stands; the second argument is the generator's weights to restore with,
# empty for its own.
Validate = Callable[[Method, Mapping[str, Tensor]], dict[str, float]]


class Validation:
    """Centre views of validation people, blurred once by every validation kernel.

    All nominal sizes come equally often, people as equally as the number of images lets them; no
    image is without blur. Views, noise and 8-bit quantisation are those of the test set.
    """

    def __init__(
        self,
        config: Config,
        protocol: ProtocolName,
        faces: FaceSet,
        kernels: KernelBank,
        device: torch.device,
    ) -> None:
        """Choose and blur the faces, on ``device``; a function of the seed alone.

        Raises:
            UserError: there are no faces.
        """
        settings = config.protocols[protocol]
        if not len(faces.pictures):
            raise UserError(
                f"protocols.{protocol}.source: {settings.source} has no validation people: a set "
                f"without an official split keeps {SHARES['val']:.0%} of its people for that: "
                f"add people, or join sets (embedded+{settings.source})"
            )
        bank, stream = kernels.validation, generator(config.seed, "validation", protocol)
        per_size = len(bank[NOMINAL_SIZES[0]])
        count = per_size * len(NOMINAL_SIZES)
        people = stream.permutation(sorted(set(faces.people))).tolist()
        rows = choose_faces(faces, people, min(count, len(faces.people)), stream)
        pairs = choose_pairs([faces.people[row] for row in rows], per_size, count, stream)

        pictures = torch.from_numpy(faces.pictures[rows]).to(device)
        size, augmentation = config.image_size, settings.augmentation
        views = quantise(face_views(pictures, settings.crop, augmentation, size, None))
        shown = [pair.face for pair in pairs]
        canvas = max(part.shape[-1] for part in bank.values())
        chosen = [centre_kernels(bank[pair.size][[pair.kernel]], canvas) for pair in pairs]
        self.unblurred = views[:UNBLURRED]
        self.sharp = views[shown]
        self.people = [faces.people[rows[face]] for face in shown]
        self.faces = torch.tensor([rows[face] for face in shown], device=device)
        self.sizes = torch.tensor([pair.size for pair in pairs], device=device)
        self.kernels = torch.from_numpy(np.concatenate(chosen)).to(device)
        images = blur(to_unit(self.sharp), self.kernels)
        noise = torch.from_numpy(stream.standard_normal(tuple(images.shape), np.float32))
        images = add_noise(images, noise.to(device), settings.test.noise, white=1)
        self.blurred = quantise_unit(images)
        self.psnr_blurred = psnr(self.blurred, self.sharp)

    def __call__(self, method: Method, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of a method, on this object's device.

        Args:
            method: as it stands in training; it is left as it was.
            weights: of the generator, to restore with; empty: its own.

        Returns:
            ``validation_gain``: mean PSNR over that of the blurred images, dB;
            ``validation_gain_se``: its standard error over people, dB, if there are two;
            ``validation_unblurred_psnr``: mean PSNR of faces that were given without blur, dB;
            ``validation_people``: how many people there are;
            ``discriminator_auc``: see :func:`dfpg.training.diagnostics.discriminator_auc`;
            ``mechanism.<measure>``, ``mechanism_se.<measure>``: see
            :func:`dfpg.training.diagnostics.mechanism_figures`.
        """
        people = self.people[::DISCRIMINATOR_STRIDE]
        auc = discriminator_auc(method, self.batches(), people)
        with use_weights(method.networks["generator"], weights):
            gain = psnr(restore(method, self.blurred), self.sharp) - self.psnr_blurred
            unblurred = psnr(restore(method, self.unblurred), self.unblurred)
            mechanisms = mechanism_figures(method, self.batches(), people)
        error = standard_error(gain.cpu().numpy(), self.people)
        return {
            "validation_gain": float(gain.mean()),
            **({} if math.isnan(error) else {"validation_gain_se": error}),
            "validation_unblurred_psnr": float(unblurred.clamp(max=PSNR_CAP).mean()),
            "validation_people": len(set(self.people)),
            **auc,
            **mechanisms,
        }

    def batches(self) -> Iterator[Batch]:
        """The discriminator's images, in the form of training batches."""
        for start in range(0, len(self.sharp), CHUNK * DISCRIMINATOR_STRIDE):
            part = slice(start, start + CHUNK * DISCRIMINATOR_STRIDE, DISCRIMINATOR_STRIDE)
            yield Batch(
                sharp=to_signed(self.sharp[part]),
                blurred=to_signed(self.blurred[part]),
                kernels=self.kernels[part],
                size=self.sizes[part],
                faces=self.faces[part],
            )


def make_validation(config: Config, protocol: ProtocolName, bank: KernelBank) -> Validation:
    """Validation of a protocol's methods, on this process's device.

    Raises:
        UserError: the protocol's source has no validation people.
    """
    settings = config.protocols[protocol]
    faces = load_faces(settings.source, "val", settings.framing)
    return Validation(config, protocol, faces, bank, select_device())


def restore(method: Method, images: Tensor) -> Tensor:
    """Restored images, uint8 [N, 3, H, W] like ``images``."""
    parts = [images[start : start + CHUNK] for start in range(0, len(images), CHUNK)]
    return torch.cat([quantise(method.restore(to_signed(part))) for part in parts])
