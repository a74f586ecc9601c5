"""Views of a face picture in which the face is moved."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from dfpg.data.augmentation import sampling_grid
from dfpg.evaluation.robustness.moves import ROTATION, SCALE, SHIFT, Move


def move_faces(
    pictures: Tensor, crop: float, size: int, move: Move, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """The centre view of every picture with the face in it moved.

    The view is taken from the stored picture, which is larger than the crop: where a move uncovers
    what lies outside of the crop, real pixels are shown as far as there are any, and beyond the
    picture's border its mirror image. Sampled like :func:`dfpg.data.augmentation.face_views`, whose
    centre view an unmoved face equals.

    Args:
        pictures: uint8 [N, S, S, 3].
        crop: side of the crop as a share of S.
        size: side of the view, px.
        move: a shift moves by ``amount`` % of the view's side, a rotation turns about its middle, a
            scale makes the face that much larger.
        directions: int64 [N], 0 ... DIRECTIONS - 1: which way each face is shifted and turned.

    Returns:
        Views [N, 3, size, size] in [-1, 1], and the share of each view that is mirrored [N].
    """
    scale = move.amount if move.transformation == SCALE else 1.0
    factor = max(1, round(crop * pictures.shape[1] / (scale * size)))
    matrix, offset = _geometry(move, directions)
    images = pictures.permute(0, 3, 1, 2).to(torch.float32) / 255
    grid = (sampling_grid(matrix, factor * size) + offset[:, None, None]) * crop
    outside = grid.abs() > 1
    # Folded only where it has to be, so that an unmoved face is that of the test set to the bit.
    grid = torch.where(outside, 1 - ((grid + 1) % 4 - 2).abs(), grid)
    views = F.avg_pool2d(
        F.grid_sample(images, grid, "bilinear", "border", align_corners=False), factor
    )
    return views * 2 - 1, outside.any(-1).float().mean((1, 2))


def _geometry(move: Move, directions: Tensor) -> tuple[Tensor, Tensor]:
    """From a view's place to the face's: matrices [N, 2, 2] and offsets [N, 2] on (x, y)."""
    matrix = torch.eye(2).repeat(len(directions), 1, 1)
    offset = torch.zeros(len(directions), 2)
    if move.transformation == SHIFT:
        towards = torch.tensor([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])
        offset = towards[directions] * (-2 * move.amount / 100)  # the view's side is 2
    elif move.transformation == ROTATION:
        angle = (1 - 2.0 * (directions % 2)) * math.radians(move.amount)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)
    elif move.transformation == SCALE:
        matrix = matrix / move.amount
    return matrix, offset
