"""A trained method on the faces of one photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from dfpg.commands.deblur.framing import Frame, Pixels, crop, frame_from_landmarks, paste_back
from dfpg.core.device import resolve_precision
from dfpg.core.errors import UserError
from dfpg.evaluation.restore import restore_in_precision
from dfpg.methods.registry import build_restorer
from dfpg.pretrained.detector import Detection

LONGEST = 16  # longer side of an aligned picture, in multiples of the shorter one
LEAST_CHANGE = 2.5  # grey levels, root mean square over a face
BATCH = 8  # faces that a method restores at once


class Restorer:
    """What a trained method changes in pictures of faces.

    Attributes:
        size: side of the faces that it was trained on, px.
        name: the method's key in the registry.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        """Load a weights file; it restores in bf16 where the device computes that natively.

        Raises:
            UserError: as :func:`dfpg.methods.registry.build_restorer`.
        """
        self._method = build_restorer(weights, device)
        self._restore = restore_in_precision(
            self._method, device, resolve_precision("auto", device)
        )
        self._weights = weights
        self.device = device
        self.size = self._method.setting.image_size
        self.name = self._method.name

    def change(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Restored minus input in grey levels, float32 [N, H, W, 3], of RGB uint8 [N, H, W, 3].

        Raises:
            UserError: the method takes no pictures of this size, or gives what is no number.
        """
        parts = [
            self._change(faces[start : start + BATCH]) for start in range(0, len(faces), BATCH)
        ]
        return np.concatenate(parts)

    def _change(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        images = torch.from_numpy(faces).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        change = (self._restore(images) - images) * 127.5
        if not bool(change.isfinite().all()):
            raise UserError(f"{self._weights}: restores to what is no number: train the run again")
        array: NDArray[np.float32] = change.permute(0, 2, 3, 1).cpu().numpy()
        return array


class RestoredFaces(NamedTuple):
    """A photograph with its faces restored, their frames, and which of them were left as they were.

    ``frames`` and ``left`` are in the order of the faces.
    """

    pixels: Pixels
    frames: list[Frame]
    left: list[bool]


def restore_faces(
    photograph: Pixels,
    faces: Sequence[Detection],
    restorer: Restorer,
    strength: float = 1.0,
    check: bool = False,
) -> RestoredFaces:
    """Restore the faces of a photograph, each in its place.

    Args:
        photograph: RGB uint8 [H, W, 3].
        faces: found in it, the largest first: where frames overlap, the larger face lies on top.
        restorer: of the faces.
        strength: share of the change that is made, 0 to 1.
        check: leave a face as it is where :func:`is_too_small` says so of its change.
    """
    frames = [frame_from_landmarks(face.landmarks) for face in faces]
    before = np.stack([crop(photograph, frame, restorer.size) for frame in frames])
    changes = restorer.change(before)
    left = [check and is_too_small(change) for change in changes]
    canvas = photograph.copy()
    for frame, change, leave in reversed(list(zip(frames, changes, left, strict=True))):
        if not leave:
            paste_back(canvas, photograph, frame, change * np.float32(strength))
    return RestoredFaces(canvas, frames, left)


def is_too_small(change: NDArray[np.float32]) -> bool:
    """Whether a change is as small as those by which the shipped model harms faces.

    It changes blurred faces much and sharp ones little, but the latter for the worse. The limit was
    chosen on validation people with known blur (docs/shipped_model.md) and holds for that model.

    Args:
        change: restored minus input in grey levels, [H, W, 3], at the model's size.
    """
    return change_size(change) < LEAST_CHANGE


def change_size(change: NDArray[np.float32]) -> float:
    """Root mean square of a change [H, W, 3], in its unit."""
    return float(np.sqrt(np.square(change).mean()))


def restore_aligned(face: Pixels, restorer: Restorer, strength: float = 1.0) -> Pixels:
    """A picture that a face fills as it does in training, restored as a whole.

    It is drawn with its shorter side at the model's size; the change is drawn back at its own.

    Args:
        face: RGB uint8 [H, W, 3].
        restorer: of the face.
        strength: share of the change that is made, 0 to 1.

    Raises:
        UserError: it is too long and narrow to be a face.
    """
    height, width = face.shape[:2]
    if max(height, width) > LONGEST * min(height, width):
        raise UserError(
            f"{width} x {height} px: more than {LONGEST} times as long as wide, which is no face: "
            "leave --aligned out to have faces found in it"
        )
    scale = restorer.size / min(height, width)
    small = _resize(face, round(height * scale), round(width * scale))
    change = restorer.change(small[None])[0] * np.float32(strength)
    levels = np.rint(face + _resize(change, height, width))
    restored: Pixels = np.clip(levels, 0, 255).astype(np.uint8)
    return restored


def _resize(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Averaged over areas where it becomes smaller, cubic where it becomes larger."""
    way = cv2.INTER_AREA if height < len(image) else cv2.INTER_CUBIC
    resized: NDArray[Any] = cv2.resize(image, (width, height), interpolation=way)
    return resized
