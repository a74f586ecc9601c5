"""Shape of a blur kernel in four numbers, taken from the kernel alone: no trajectory is needed.

They serve to compare kernels whose origin differs, such as ours and published ones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra, minimum_spanning_tree
from skimage.morphology import skeletonize

LINE = 0.25  # share of the maximum above which a pixel belongs to the line that is thinned
SMOOTHING = 2.0  # px, standard deviation along the line, which removes the pixel grid's own turns
# Neighbours of a pixel: straight steps first, since a diagonal one only counts without them.
STRAIGHT = ((0, 1), (1, 0))
DIAGONAL = ((1, 1), (1, -1))


def effective_pixels(kernels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Number [N] of equally heavy pixels that would be as spread out: 1 / sum of squared weights.

    Args:
        kernels: [N, K, K], each of sum 1.
    """
    effective: NDArray[np.float64] = 1 / np.square(kernels, dtype=np.float64).sum((1, 2))
    return effective


def support_sides(kernels: NDArray[np.floating]) -> NDArray[np.int64]:
    """Larger side [N] of the bounding box of each kernel's non-zero pixels, in px."""
    steps = np.arange(1, kernels.shape[-1] + 1)
    sides = []
    for axis in (1, 2):
        used: NDArray[np.bool_] = np.any(kernels > 0, axis=axis)
        sides.append((used * steps).max(1) + (used * steps[::-1]).max(1) - len(steps))
    larger: NDArray[np.int64] = np.stack(sides).max(0)
    return larger


def path_lengths(kernels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Length [N] of each kernel's thinned line, all branches together, in px."""
    return np.array([minimum_spanning_tree(_skeleton(kernel)[1]).sum() for kernel in kernels])


def turning_angles(kernels: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far [N] the spine of each kernel turns, left and right added up, in degrees.

    The spine is the longest of the shortest ways between two pixels of the thinned line.
    """
    return np.array([_turning(_spine(*_skeleton(kernel))) for kernel in kernels])


def describe(kernels: NDArray[np.floating]) -> pd.DataFrame:
    """All four descriptors, one row per kernel [N, K, K]."""
    return pd.DataFrame(
        {
            "effective_pixels": effective_pixels(kernels),
            "support": support_sides(kernels),
            "path_length": path_lengths(kernels),
            "turning": turning_angles(kernels),
        }
    )


def _skeleton(kernel: NDArray[np.floating]) -> tuple[NDArray[np.int64], csr_matrix]:
    """Pixels [P, 2] of the thinned line, and the lengths of the steps between neighbours."""
    line = skeletonize(kernel > LINE * kernel.max())  # type: ignore[no-untyped-call]
    thin = np.pad(line, 1)
    places = np.argwhere(thin)
    number = np.full(thin.shape, -1)
    number[tuple(places.T)] = np.arange(len(places))
    links: list[tuple[int, int, float]] = []
    for row, column in places:
        own = number[row, column]
        for down, right in STRAIGHT:
            if thin[row + down, column + right]:
                links.append((own, number[row + down, column + right], 1.0))
        for down, right in DIAGONAL:
            around_a_corner = thin[row + down, column] or thin[row, column + right]
            if thin[row + down, column + right] and not around_a_corner:
                links.append((own, number[row + down, column + right], np.sqrt(2)))
    first, second, length = zip(*links, strict=True) if links else ((), (), ())
    graph = csr_matrix((length, (first, second)), shape=(len(places), len(places)))
    return places, graph


def _spine(places: NDArray[np.int64], graph: csr_matrix) -> NDArray[np.int64]:
    """Pixels [P, 2] of the spine, in order."""
    lengths, before = dijkstra(graph, directed=False, return_predecessors=True)
    lengths[np.isinf(lengths)] = -1
    start, end = np.unravel_index(lengths.argmax(), lengths.shape)
    way = [end]
    while way[-1] != start:
        way.append(before[start, way[-1]])
    return places[way]


def _turning(line: NDArray[np.int64]) -> float:
    """Sum of the absolute changes of direction along pixels [P, 2], in degrees."""
    smooth = gaussian_filter1d(line.astype(np.float64), SMOOTHING, axis=0, mode="nearest")
    steps = np.diff(smooth, axis=0)
    steps = steps[np.hypot(*steps.T) > 1e-6]
    turns = np.diff(np.unwrap(np.arctan2(*steps.T)))
    return float(np.degrees(np.abs(turns).sum()))
