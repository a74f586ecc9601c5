"""Student's t for skewed scores: Hall's (1992) transformation, fitted to a bootstrap's quantile.

The t of a skewed sample has one long tail. Hall's cubic makes it even; its one parameter is the
skew, which a sample understates. Here it is the skew that explains how far the bootstrap's
quantile lies beyond Student's, so that test and interval agree at their common level, and p follows
from it at all others, where resamples are too few.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def remove_skew(t: Array, quantile: Array, student: float) -> Array:
    """Student's t without the skew: it grows with t, and takes ``quantile`` to ``student``.

    Args:
        t: absolute values [C].
        quantile: of the bootstrap [C], on the side of t.
        student: Student's quantile of the same level. Where the bootstrap's is smaller, t is
            scaled.
    """
    t, quantile = t * np.maximum(student / quantile, 1), np.maximum(quantile, student)
    square, linear = quantile**3 / 27, quantile**2 / 3 + 1 / 6
    root = np.sqrt(np.maximum(linear**2 - 4 * square * (quantile - student), 0))
    skew = (linear - root) / (2 * square)
    cubic = t - skew * (t**2 / 3 + 1 / 6) + skew**2 * t**3 / 27
    # Far out the cubic rises again, which is no skew's doing: there the quantile's scale holds.
    return np.maximum(np.where(t > quantile, np.minimum(cubic, t * student / quantile), cubic), 0)
