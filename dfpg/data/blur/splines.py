"""Random spline blur kernels of Chakrabarti 2016, used by protocol B."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from dfpg.core.config import REFERENCE_SIZE
from dfpg.core.errors import UserError

CONTROL_POINTS = 6
CURVE_POINTS = 5000 * CONTROL_POINTS
WEIGHT_SPREAD = 0.5  # a pixel weighs max(0, 1 + 0.5 n), n standard normal
PROPOSALS = 512  # curves per round: fixed, so that a longer bank begins with the shorter one
CACHED = 4  # curves evaluated at once, so that they stay in the processor's cache
SKETCH = 60  # every so many points of a curve are a sketch of it
# px: how far the centroid of a sketch may be from where it is allowed to be. 7,020 kernels that the
# plain rejection accepts were never beyond 0.8 (a thousandth beyond 0.5).
SLACK = 1.5


@cache
def spline_basis() -> NDArray[np.float64]:
    """Not-a-knot cubic spline through equally spaced knots as a linear map [6, 30000]."""
    knots = np.linspace(0, 1, CONTROL_POINTS)
    spline = CubicSpline(knots, np.eye(CONTROL_POINTS), bc_type="not-a-knot")
    basis: NDArray[np.float64] = spline(np.linspace(0, 1, CURVE_POINTS)).T
    return np.ascontiguousarray(basis)


def curve_pixels(control: NDArray[np.int64], inner: int) -> NDArray[np.bool_]:
    """Pixels that each curve visits.

    Args:
        control: control points [N, 6, 2] (row, column), integers in 0 ... inner - 1.
        inner: side of the square that the curve is clamped to, ``psz`` of the source.

    Returns:
        Masks [N, inner, inner].
    """
    basis = spline_basis()
    mask = np.zeros((len(control), inner * inner), np.bool_)
    for first in range(0, len(control), CACHED):
        points = control[first : first + CACHED].astype(np.float64)
        rows, columns = (
            np.rint(np.clip(points[:, :, axis] @ basis, 0, inner - 1)) for axis in (0, 1)
        )
        flat = rows * inner + columns
        entered = np.ones(flat.shape, np.bool_)  # points that leave the pixel of the one before
        np.not_equal(flat[:, 1:], flat[:, :-1], out=entered[:, 1:])
        where = np.flatnonzero(entered)
        mask[first + where // CURVE_POINTS, flat.ravel()[where].astype(np.int64)] = True
    return mask.reshape(-1, inner, inner)


def sketch_pixels(control: NDArray[np.int64], inner: int) -> NDArray[np.bool_]:
    """Pixels that few points of each curve visit: most of :func:`curve_pixels`, and no others.

    Arguments and result are those of :func:`curve_pixels`; N inner^2 must be below 2^24.
    """
    points = control.transpose(0, 2, 1).reshape(-1, CONTROL_POINTS) @ spline_basis()[:, ::SKETCH]
    places = np.rint(np.clip(points, 0, inner - 1)).reshape(len(control), 2, -1).astype(np.int64)
    flat = places[:, 0] * inner + places[:, 1] + np.arange(len(control))[:, None] * inner**2
    mask = np.zeros(len(control) * inner**2, np.bool_)
    mask[flat.ravel()] = True
    return mask.reshape(-1, inner, inner)


def weigh(
    mask: NDArray[np.bool_], factors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernels [N, I, I] of sum 1 and their centroids [N, 2] (row, column); NaN where none is left.

    Args:
        mask: visited pixels [N, I, I].
        factors: weight of every pixel, visited or not, [N, I, I].
    """
    weights = mask * factors
    with np.errstate(invalid="ignore"):
        weights /= weights.sum((1, 2), keepdims=True)
    pixels = np.arange(mask.shape[-1])
    return weights, np.stack([weights.sum(2) @ pixels, weights.sum(1) @ pixels], 1)


def propose(rng: np.random.Generator, inner: int, nominal: int) -> NDArray[np.float64]:
    """Draw ``PROPOSALS`` curves and keep those that fit once their centroid is in the middle.

    The square around a curve is padded on the side opposite to its rounded centroid until that
    pixel is the middle one; a curve is rejected where the padded square exceeds ``nominal``. Few
    curves are kept where ``inner`` is ``nominal`` (8 % of 13 px, 2 % of 27 px), so that a sketch of
    each curve first rules out those whose centroid is far off.

    Returns:
        Accepted kernels [n <= PROPOSALS, nominal, nominal], each of sum 1.
    """
    control = rng.integers(0, inner, (PROPOSALS, CONTROL_POINTS, 2))
    noise = rng.standard_normal((PROPOSALS, inner, inner))
    factors = np.maximum(0, 1 + WEIGHT_SPREAD * noise)
    half, far = nominal // 2, inner - 1
    sketched = weigh(sketch_pixels(control, inner), factors)[1]
    near = np.flatnonzero(~(np.maximum(sketched, far - sketched).max(1) > half + 0.5 + SLACK))
    weights, exact = weigh(curve_pixels(control[near], inner), factors[near])
    left = np.isfinite(exact).all(1)
    weights, rounded = weights[left], np.floor(exact[left] + 0.5).astype(int)
    kept = np.flatnonzero(np.maximum(rounded, far - rounded).max(1) <= half)
    canvas = np.zeros((len(kept), nominal, nominal))
    for out, kernel, centroid in zip(canvas, weights[kept], rounded[kept], strict=True):
        row, column = half - centroid
        out[row : row + inner, column : column + inner] = kernel
    return canvas


def splat_matrix(nominal: int, canvas: int, scale: float) -> NDArray[np.float64]:
    """Linear map [canvas, nominal] that scales an axis about its middle, antialiased.

    Each pixel's mass moves to ``scale`` times its distance from the middle and is shared between
    the nearest pixels by a tent (of width ``scale`` where the axis grows). Columns sum to 1, and
    scale 1 is the identity.
    """
    half = canvas // 2
    source = np.clip(scale * np.arange(-(nominal // 2), nominal // 2 + 1), -half, half)
    distance = np.abs(np.arange(-half, half + 1)[:, None] - source[None, :])
    tent = np.maximum(0, 1 - distance / max(1.0, scale))
    matrix: NDArray[np.float64] = tent / tent.sum(0)
    return matrix


def spline_kernels(
    rng: np.random.Generator,
    count: int,
    nominal: int,
    inner_margin: int,
    image_size: int,
    canvas: int,
) -> NDArray[np.float32]:
    """Draw spline kernels.

    Args:
        rng: stream of this size and split.
        count: number of kernels.
        nominal: kernel size at 128 px, odd.
        inner_margin: ``nominal`` minus the side of the square that control points lie in.
        image_size: px; the 128-px kernel is scaled by image_size/128 about its middle pixel.
        canvas: odd side of the result.

    Returns:
        Kernels [count, canvas, canvas], non-negative, sum 1.

    Raises:
        UserError: the margin leaves less than two pixels.
    """
    inner = nominal - inner_margin
    if inner < 2:
        raise UserError(
            f"kernels.spline.inner_margin: {inner_margin} leaves no room inside kernel size "
            f"{nominal}: use at most {nominal - 2}"
        )
    parts: list[NDArray[np.float64]] = []
    while sum(map(len, parts)) < count:
        parts.append(propose(rng, inner, nominal))
    kernels = np.concatenate(parts)[:count]
    matrix = splat_matrix(nominal, canvas, image_size / REFERENCE_SIZE)
    kernels = matrix @ kernels @ matrix.T
    kernels /= kernels.sum((1, 2), keepdims=True)
    return kernels.astype(np.float32)
