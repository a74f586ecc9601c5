"""Camera-shake kernels: Boracchi and Foi 2012 trajectories, protocol A.

``MAX_ANXIETY`` and ``LEAST_FILL`` are calibrated, since no source states them for Shen et al. 2018.
Their released kernel is one stroke; with anxieties up to 0.1, as Boracchi and Foi draw them, a
trajectory that is enlarged to a kernel is a tangle. docs/conventions.md has the figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dfpg.core.config import REFERENCE_SIZE

SAMPLES = 2000
LENGTH = 60.0  # of the whole trajectory, px
STEP = LENGTH / (SAMPLES - 1)
MAX_ANXIETY = 0.012
MAX_CENTRIPETAL = 0.7
MAX_GAUSSIAN = 10.0
MAX_BIG_SHAKE = 0.2
LEAST_FILL = 0.55  # share of the nominal size that a trajectory's larger side takes at least
ROUND = 256  # trajectories at once: fixed, so that a longer bank begins with the shorter one


def draw_trajectories(rng: np.random.Generator) -> NDArray[np.complex128]:
    """Draw ``ROUND`` trajectories of a shaking camera.

    Each step changes the velocity by an occasional big shake, by Gaussian noise and by a pull
    back to the start, and then renormalises it, so that every step has the same length.

    Returns:
        Positions [ROUND, SAMPLES], complex (x + i y), from 0 on, total length ``LENGTH`` px.
    """
    anxiety = MAX_ANXIETY * rng.random(ROUND)
    centripetal = MAX_CENTRIPETAL * rng.random(ROUND)
    gaussian = MAX_GAUSSIAN * rng.random(ROUND)
    big_shake = MAX_BIG_SHAKE * rng.random(ROUND)
    angle = 2 * np.pi * rng.random(ROUND)
    shakes = rng.random((SAMPLES - 1, ROUND)) < big_shake * anxiety
    turns = np.pi + rng.random((SAMPLES - 1, ROUND)) - 0.5
    jumps = np.where(shakes, 2 * np.exp(1j * turns), 0)
    noise = rng.standard_normal((SAMPLES - 1, ROUND, 2)).view(np.complex128)[..., 0]
    push = STEP * anxiety * gaussian * noise
    pull = STEP * anxiety * centripetal

    velocity = np.where(anxiety > 0, anxiety, STEP) * np.exp(1j * angle)
    path = np.zeros((SAMPLES, ROUND), np.complex128)
    for step in range(SAMPLES - 1):
        velocity = velocity + jumps[step] * velocity + push[step] - pull * path[step]
        velocity *= STEP / np.abs(velocity)
        path[step + 1] = path[step] + velocity
    return np.ascontiguousarray(path.T)


def rasterise(path: NDArray[np.complex128], canvas: int) -> NDArray[np.float64]:
    """Share of time spent at each pixel, with a bilinear footprint.

    Args:
        path: positions [N, T], complex, relative to the middle of the canvas, px; positions
            outside are moved to its edge.
        canvas: odd side.

    Returns:
        Kernels [N, canvas, canvas] (row = imaginary part), sum 1.
    """
    count, samples = path.shape
    half = canvas // 2
    flat = np.zeros((4, count, samples), np.int64)
    weight = np.ones((4, count, samples))
    for axis, coordinate in enumerate((path.imag, path.real)):
        position = np.clip(coordinate + half, 0, canvas - 1)
        low = np.minimum(position.astype(np.int64), canvas - 2)
        share = position - low
        for corner in range(4):
            high = corner >> axis & 1
            flat[corner] = flat[corner] * canvas + low + high
            weight[corner] *= share if high else 1 - share
    flat += np.arange(count)[:, None] * canvas**2
    total = np.bincount(flat.ravel(), weight.ravel(), count * canvas**2)
    kernels: NDArray[np.float64] = total.reshape(count, canvas, canvas) / samples
    return kernels


def trajectory_kernels(
    rng: np.random.Generator, count: int, nominal: int, image_size: int, canvas: int
) -> NDArray[np.float32]:
    """Draw camera-shake kernels.

    At 128 px the larger side of a trajectory's support (its extent and one pixel) is drawn
    uniformly from (nominal ``LEAST_FILL``, nominal] and the trajectory rescaled to it (assumed: no
    source states how a trajectory becomes a k x k kernel). The bounding box is centred, the
    centroid not, as in the released kernel.

    Args:
        rng: stream of this size and split.
        count: number of kernels.
        nominal: kernel size at 128 px, odd.
        image_size: px; the trajectory is scaled by image_size/128.
        canvas: odd side of the result.

    Returns:
        Kernels [count, canvas, canvas], non-negative, sum 1.
    """
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < count:
        support = nominal * (1 - (1 - LEAST_FILL) * rng.random(ROUND))
        path = draw_trajectories(rng)
        x, y = path.real, path.imag
        extent = np.maximum(np.ptp(x, axis=1), np.ptp(y, axis=1))
        middle = (x.min(1) + x.max(1) + 1j * (y.min(1) + y.max(1))) / 2
        scale = (support - 1) / extent * (image_size / REFERENCE_SIZE)
        parts.append(rasterise((path - middle[:, None]) * scale[:, None], canvas))
    return np.concatenate(parts)[:count].astype(np.float32)
