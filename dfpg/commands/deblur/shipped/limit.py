"""Which change is too small to be made: the table from which ``LEAST_CHANGE`` is chosen.

Validation people only, so that the choice sees neither training nor test people. What the limit
does is in :func:`dfpg.commands.deblur.restore.is_too_small`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dfpg.commands.deblur.restore import Restorer
from dfpg.commands.deblur.shipped.blur import kernel_of_side
from dfpg.commands.deblur.shipped.by_size import HARM_DB, NOISE, as_images, blur_faces, judge
from dfpg.core.config import Config
from dfpg.core.markdown import markdown_table
from dfpg.core.paths import KERNELS
from dfpg.core.seeds import generator
from dfpg.data.augmentation import face_views
from dfpg.data.blur.blind import gaussians, jpeg
from dfpg.data.blur.degrade import quantise, to_signed
from dfpg.data.blur.kernels import Family, load_kernels
from dfpg.data.faces.dataset import EMBEDDED, load_faces
from dfpg.methods.batch import NO_BLUR

LIMITS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # grey levels, root mean square over a face
GAUSSIANS = (0.5, 0.8, 1.2)  # standard deviation, px
GAUSSIAN_SIDE = 11  # px: more than four standard deviations to each side
# Family, side in px and noise in grey levels.
MOTION: tuple[tuple[Family, int, float], ...] = (
    ("spline", 5, 0.0),
    ("spline", 9, 0.0),
    ("spline", 13, 0.0),
    ("spline", 17, 0.0),
    ("spline", 23, 0.0),
    ("trajectory", 13, NOISE),
    ("trajectory", 27, NOISE),
)
STRONG_NOISE = 5.0  # grey levels, without blur
COMPRESSED: tuple[Family, int, int] = ("spline", 13, 40)  # family, side, JPEG's quality


def limit_table(config: Config, weights: Path, device: torch.device) -> str:
    """A table in Markdown: what each limit leaves of the faces that the model harms and helps.

    Args:
        config: the profile ``shipped``.
        weights: of the model.
        device: where it restores, in the precision of ``dfpg deblur``.

    Raises:
        UserError: the weights, the faces or the kernels are missing or damaged.
    """
    restorer, sharp = Restorer(weights, device), validation_faces(config)
    changes: list[NDArray[np.float64]] = []
    harmed: list[NDArray[np.bool_]] = []
    helped: list[NDArray[np.bool_]] = []
    for blurred in versions(config, sharp):
        found = judge(restorer, sharp, blurred)
        gain = found.restored - found.blurred
        changes.append(found.change)
        harmed.append((gain < -HARM_DB) | np.isinf(found.blurred))
        helped.append(gain > HARM_DB)
    change, worse, better = np.concatenate(changes), np.concatenate(harmed), np.concatenate(helped)
    rows = [
        (
            f"{limit:g}",
            f"{((change < limit) & worse).sum()} of {worse.sum()}",
            f"{((change < limit) & better).sum()} of {better.sum()}",
        )
        for limit in LIMITS
    ]
    return markdown_table(
        ("limit", f"harmed and left, {len(sharp)} people", "helped and lost"), rows
    )


def validation_faces(config: Config) -> NDArray[np.uint8]:
    """The first picture of each embedded validation person, uint8 [N, S, S, 3]."""
    faces, settings = load_faces(EMBEDDED, "val"), config.protocols["b"]
    rows = [faces.people.index(person) for person in sorted(set(faces.people))]
    pictures = torch.from_numpy(faces.pictures[rows])
    views = face_views(pictures, settings.crop, settings.augmentation, config.image_size, None)
    sharp: NDArray[np.uint8] = quantise(views).permute(0, 2, 3, 1).contiguous().numpy()
    return sharp


def versions(config: Config, sharp: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The faces in 13 versions: sharp, slightly and strongly blurred, noisy, compressed.

    Args:
        config: names seed and image size; the kernels are those of validation.
        sharp: uint8 [N, S, S, 3].
    """
    banks = {
        family: load_kernels(KERNELS / f"{family}.safetensors").validation
        for family in {family for family, *_ in (*MOTION, COMPRESSED)}
    }
    rng = generator(config.seed, "shipped", "limit")

    def blurred(family: Family, side: int, noise: float) -> NDArray[np.uint8]:
        kernels = [
            kernel_of_side(banks[family], side, n, config.image_size) for n in range(len(sharp))
        ]
        return blur_faces(sharp, kernels, noise, rng)

    yield sharp
    for sigma in GAUSSIANS:
        kernel = gaussians(np.full((1, 2), sigma), np.zeros(1), GAUSSIAN_SIDE)[0]
        yield blur_faces(sharp, [kernel] * len(sharp), 0.0, rng)
    for family, side, noise in MOTION:
        yield blurred(family, side, noise)
    yield blurred("spline", NO_BLUR, STRONG_NOISE)
    family, side, quality = COMPRESSED
    signed = to_signed(as_images(blurred(family, side, 0.0)))
    stored = quantise(torch.stack([jpeg(image, quality) for image in signed]))
    yield stored.permute(0, 2, 3, 1).contiguous().numpy()
