"""Measured blur kernels from a file of the user's, e.g. the eight of Levin et al. 2009."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfpg.core.errors import UserError, file_error
from dfpg.data.blur.kernels import centroids


def read_kernels(path: Path, image_size: int) -> dict[str, NDArray[np.float32]]:
    """Kernels of an ``.npz`` file by name, in the file's order.

    Each is an array [K, K] in px of a face of ``image_size`` px, K odd and at most
    2 ``image_size`` - 1, which is what the mirrored border allows. It blurs by true convolution.
    Where its middle lies in the file is a matter of how it was cut out, and would only shift the
    picture: it is moved by whole pixels so that its centroid lies in the middle, as that of a
    spline kernel does (:mod:`dfpg.data.blur.splines`).

    Args:
        path: as :func:`numpy.savez` writes it.
        image_size: px.

    Returns:
        Kernels [K, K], non-negative, of sum 1; K may be larger than in the file.

    Raises:
        UserError: no such file, none of that kind, no array in it, or one that is no such kernel.
    """
    try:
        found = np.load(path, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with found:
            arrays = {name: found[name] for name in found.files}
    except OSError as error:
        raise file_error(path, "read", error) from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not an .npz file of numbers: write one with numpy.savez(FILE, name=kernel)"
        ) from error
    if not arrays:
        raise UserError(f"{path}: holds no array: write kernels [K, K] with numpy.savez")
    return {name: _kernel(f"{path}: {name}", array, image_size) for name, array in arrays.items()}


def _kernel(where: str, array: NDArray[np.generic], image_size: int) -> NDArray[np.float32]:
    """The array as a kernel of sum 1; raises UserError where it is none."""
    largest = 2 * image_size - 1
    square = array.ndim == 2 and array.shape[0] == array.shape[1]
    if not square or array.shape[0] % 2 == 0 or array.shape[0] > largest:
        raise UserError(
            f"{where}: of shape {array.shape}: give a square of an odd side, 1 to {largest} px "
            "(pad it with zeros)"
        )
    if array.dtype.kind not in "fiu":
        raise UserError(f"{where}: of type {array.dtype}: give real numbers")
    kernel = array.astype(np.float64)
    if not np.isfinite(kernel).all() or (kernel < 0).any() or not kernel.any():
        raise UserError(
            f"{where}: negative, infinite, no numbers or nothing but zeros: give weights of 0 and "
            "more"
        )
    centred = _centre(kernel / kernel.sum())
    if len(centred) > largest:
        raise UserError(f"{where}: its weight lies too far from the middle: cut it out around that")
    return centred


def _centre(kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    """The kernel of sum 1 on a canvas whose middle pixel is the one nearest to the centroid."""
    offset = np.round(centroids(kernel[None].astype(np.float32))[0]).astype(int)
    margin = int(np.abs(offset).max())
    canvas = np.pad(kernel, margin)
    moved: NDArray[np.float32] = np.roll(canvas, tuple(-offset), (0, 1)).astype(np.float32)
    return moved
