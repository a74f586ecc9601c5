"""Training batches: what every method sees of one, and what some see besides."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

NO_BLUR = 0  # nominal size of an image that is not blurred


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        sharp: [N, 3, H, W] in [-1, 1].
        blurred: same shape, blurred and noisy; noise may leave [-1, 1].
        kernels: [N, K, K], K the largest canvas; a delta where there is no blur.
        size: nominal kernel sizes [N], int64; 0 = no blur.
        faces: indices [N] into the face set, int64.
    """

    sharp: Tensor
    blurred: Tensor
    kernels: Tensor
    size: Tensor
    faces: Tensor


@dataclass(frozen=True)
class LabelledBatch(Batch):
    """Batch with parsing maps.

    Attributes:
        labels: uint8 [N, H, W], classes of :data:`dfpg.pretrained.parsing.CLASSES`, aligned with
            ``sharp``; left and right are exchanged where it is mirrored, 0 where it is black.
    """

    labels: Tensor


@dataclass(frozen=True)
class PairBatch(Batch):
    """Batch with a second measurement of the same sharp faces.

    Attributes:
        blurred2, kernels2, size2: as ``blurred``, ``kernels`` and ``size``, drawn anew.
    """

    blurred2: Tensor
    kernels2: Tensor
    size2: Tensor


@dataclass(frozen=True)
class UnpairedBatch(Batch):
    """Batch whose ``sharp`` shows other people than ``blurred``; ``faces`` are the blurred ones.

    Attributes:
        sharp_faces: indices [N] of the sharp faces, int64.
    """

    sharp_faces: Tensor


@dataclass(frozen=True)
class BlindBatch(Batch):
    """Batch with the degradation of blind restoration; see :mod:`dfpg.data.blur.blind`.

    ``kernels`` are those drawn for it, not the protocol's, so that ``size`` is 0.

    Attributes:
        sides: side [N] of the reduced picture, px, int64.
        noise: standard deviation [N] in grey levels, float32.
        quality: of JPEG [N], int64; 0 without it.
    """

    sides: Tensor
    noise: Tensor
    quality: Tensor


def contents(batch: Batch) -> dict[str, Any]:
    """Fields of a batch by name, to make a batch with more fields of them."""
    return {field.name: getattr(batch, field.name) for field in fields(batch)}
