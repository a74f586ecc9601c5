"""Views of the training batches: what a method needs besides sharp and blurred faces.

Every view draws from the seed's own streams, so that its content is a pure function of (seed,
protocol, step) like that of the plain batches, and shows the same faces, kernels and noise in the
same order wherever its purpose lets it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from dfpg.core.config import NOMINAL_SIZES, Config
from dfpg.core.errors import UserError
from dfpg.core.seeds import generator
from dfpg.data.blur.blind import LI2020, WANG2021, degrade, draw_degradation
from dfpg.data.blur.kernels import KernelBank
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.faces.generic import generic_pictures
from dfpg.data.label_views import label_views
from dfpg.methods.batch import (
    NO_BLUR,
    BlindBatch,
    LabelledBatch,
    UnpairedBatch,
    contents,
)
from dfpg.training.batches import Labels, Plain, ViewInputs, centre_kernels, reseed
from dfpg.training.pair_views import FreshPairs, Pairs
from dfpg.training.transfer import to_device

GENERIC_PICTURES = 1024  # at most; fewer if there are fewer faces (assumed)


class Labelled(Plain):
    """Parsing maps beside the plain batch (:class:`LabelledBatch`)."""

    def __init__(self, inputs: ViewInputs) -> None:
        """Check that the labels are those of the faces.

        Raises:
            UserError: there are no labels, or they are of other pictures.
        """
        super().__init__(inputs)
        labels, shape = inputs.labels, inputs.faces.pictures.shape[:3]
        if labels is None or labels.shape != shape:
            found = "none" if labels is None else f"of shape {labels.shape}"
            raise UserError(
                f"runs.{inputs.run_name}: the parsing maps are {found}, the training faces "
                f"are of shape {shape}: run `dvc repro parsing`"
            )
        self.maps = labels

    def batch(self, step: int) -> LabelledBatch:
        """Batch of ``step``."""
        plain = super().batch(step)
        labels = torch.from_numpy(self.maps[self.face_indices(step)])
        views = label_views(
            to_device(labels, self.device),
            self.settings.crop,
            self.settings.augmentation,
            self.image_size,
            self._stream(step, "view"),
        )
        return LabelledBatch(**contents(plain), labels=views)


class Growing(Labelled):
    """Kernels that grow in the course of the run (incremental training, Shen et al. 2018).

    In the first of eight equal shares of the run's steps only the smallest nominal size is drawn,
    then one more in each. Where the protocol has images without blur they come from the start.
    """

    def sizes(self, step: int) -> NDArray[np.int64]:
        """Nominal kernel sizes [N] of a step, none larger than the step allows."""
        allowed = 1 + min(step * len(NOMINAL_SIZES) // self.steps, len(NOMINAL_SIZES) - 1)
        keys = (*((NO_BLUR,) if self.settings.no_blur else ()), *NOMINAL_SIZES[:allowed])
        count = 1 if self.settings.size_draw == "batch" else self.batch_size
        drawn = self._stream(step, "size").choice(keys, count)
        return np.broadcast_to(drawn, self.batch_size).astype(np.int64)


class Unpaired:
    """Sharp and blurred faces of different people (:class:`UnpairedBatch`), for Lu et al. 2019.

    Half of the people, drawn by the seed, are only ever seen blurred, the others only sharp.
    """

    def __init__(self, inputs: ViewInputs) -> None:
        """Split the people.

        Raises:
            UserError: there is only one.
        """
        config, faces = inputs.config, inputs.faces
        people = sorted(set(faces.people))
        if len(people) < 2:
            raise UserError(f"runs.{inputs.run_name}: unpaired faces need two people, there is one")
        order = generator(config.seed, "unpaired", "people").permutation(len(people))
        chosen = {people[index] for index in order[: len(people) // 2]}
        is_sharp = np.array([person in chosen for person in faces.people])
        self._rows = [torch.from_numpy(np.flatnonzero(part)) for part in (is_sharp, ~is_sharp)]
        parts = [_subset(faces, rows.numpy()) for rows in self._rows]
        other = reseed(config, "sharp")
        self._sharp = Plain(replace(inputs, config=other, faces=parts[0]))
        self._blurred = Plain(replace(inputs, faces=parts[1]))

    def batch(self, step: int) -> UnpairedBatch:
        """Batch of ``step``."""
        batch = self._blurred.batch(step)
        indices, sharp = self._sharp.sharp_images(step)
        sharp_faces, faces = (
            to_device(rows, found.device)[found]
            for rows, found in zip(self._rows, (indices, batch.faces), strict=True)
        )
        unpaired = replace(batch, sharp=sharp, faces=faces)
        return UnpairedBatch(**contents(unpaired), sharp_faces=sharp_faces)


class Blind(Plain):
    """The plain sharp faces under the degradation of blind restoration (:class:`BlindBatch`)."""

    recipe = WANG2021

    def batch(self, step: int) -> BlindBatch:
        """Batch of ``step``."""
        faces, sharp = self.sharp_images(step)
        stream = self._stream(step, "blind")
        drawn = draw_degradation(stream, self.recipe, self.batch_size, self.image_size, self.seed)
        canvas = max(self.canvas, drawn.kernels.shape[-1])
        return BlindBatch(
            sharp=sharp,
            blurred=degrade(sharp, drawn),
            kernels=self._on_device(centre_kernels(drawn.kernels, canvas)),
            size=torch.full_like(faces, NO_BLUR),
            faces=faces,
            sides=self._on_device(drawn.sides),
            noise=self._on_device(drawn.noise),
            quality=self._on_device(drawn.quality),
        )


class BlindMotion(Blind):
    """DFDNet's degradation, a third of whose blur is of motion."""

    recipe = LI2020


class Generic(Plain):
    """Plain batches whose pictures show no faces; see :mod:`dfpg.data.faces.generic`.

    There are as many as faces, up to ``GENERIC_PICTURES``, and as large, up to twice the image
    size; ``faces`` counts them.
    """

    def __init__(self, inputs: ViewInputs) -> None:
        config, faces = inputs.config, inputs.faces
        count, side = faces.pictures.shape[:2]
        pictures = generic_pictures(
            config.seed, min(count, GENERIC_PICTURES), min(side, 2 * config.image_size)
        )
        super().__init__(replace(inputs, faces=pictures))


View = Plain | Unpaired
VIEWS: dict[str, type[Plain] | type[Unpaired]] = {
    "plain": Plain,
    "labelled": Labelled,
    "growing": Growing,
    "pairs": Pairs,
    "fresh_pairs": FreshPairs,
    "unpaired": Unpaired,
    "blind": Blind,
    "blind_motion": BlindMotion,
    "generic": Generic,
}
WITH_LABELS = ("labelled", "growing")  # views that need parsing maps


def open_view(
    name: str,
    config: Config,
    run_name: str,
    faces: FaceSet,
    kernels: KernelBank,
    device: torch.device,
    labels: Labels | None = None,
) -> View:
    """Source of the batches of one run.

    Args:
        name: key of ``VIEWS``, as the run's method states it.
        config: the whole configuration.
        run_name: key under ``runs``; states protocol and number of steps.
        faces: training faces of the protocol.
        kernels: kernels of the protocol.
        device: where sampling and blur run.
        labels: parsing maps uint8 [faces, S, S]; only the views in ``WITH_LABELS`` need them.

    Raises:
        UserError: unknown view, or faces, kernels or labels do not fit it.
    """
    if name not in VIEWS:
        raise UserError(
            f"runs.{run_name}: its method asks for batches {name!r}: use {', '.join(VIEWS)}"
        )
    return VIEWS[name](ViewInputs(config, run_name, faces, kernels, device, labels))


def _subset(faces: FaceSet, rows: NDArray[np.int64]) -> FaceSet:
    return FaceSet(
        faces.pictures[rows],
        tuple(faces.people[row] for row in rows),
        tuple(faces.names[row] for row in rows),
        faces.landmarks[rows],
    )
