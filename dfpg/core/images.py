"""Images as the Python interface takes them: NumPy arrays, RGB uint8 [H, W, 3]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfpg.core.errors import UserError

Image = NDArray[np.uint8]


def check_image(image: Image, name: str) -> Image:
    """The image as an array of its own memory layout, if it is one.

    Args:
        image: RGB uint8 [H, W, 3].
        name: of the argument, for the error.

    Raises:
        UserError: it is not uint8 [H, W, 3], or has no pixels.
    """
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(f"{name}: {array.dtype} {list(array.shape)}: give RGB uint8 [H, W, 3]")
    return np.ascontiguousarray(array)
