"""Classical restoration, with nothing learned: what every trained row has to be read against.

``richardson_lucy`` deconvolves every image with one Gaussian, whatever blurred it: the floor that a
trained network has to beat. ``wiener`` is given the kernel that blurred the image: what is within
reach of a linear filter that knows the blur. Both are scikit-image's. Their parameters are chosen
on validation people (``dfpg classical``) and stand in ``params.yaml``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage import restoration

from dfpg.core.config import REFERENCE_SIZE, Classical, ProtocolName, protocol_name
from dfpg.data.blur.kernels import KernelBank
from dfpg.paper.tables import CEILING, FLOOR

Images = NDArray[np.uint8]  # RGB [N, 3, H, W]
Kernels = NDArray[np.float32]
REACH = 3  # standard deviations at which a Gaussian is cut off


class ClassicalRows:
    """Both classical rows of a batch of test images."""

    def __init__(
        self,
        settings: Mapping[ProtocolName, Classical],
        kernels: Mapping[ProtocolName, KernelBank],
        image_size: int,
    ) -> None:
        """Take the parameters and the kernels of each protocol's test set."""
        self._settings, self._kernels = settings, kernels
        self._image_size = image_size

    def restore_rows(
        self, protocol: str, rows: pd.DataFrame, blurred: Images, /
    ) -> dict[str, Images]:
        """Restored images by row, in the order of ``rows`` of the test set's index."""
        name = protocol_name(protocol)
        settings, bank = self._settings[name], self._kernels[name].test
        pairs = zip(rows["size"].tolist(), rows["kernel"].tolist(), strict=True)
        psf = gaussian(settings.sigma, self._image_size)
        return {
            FLOOR: richardson_lucy(blurred, psf, settings.steps),
            CEILING: wiener(
                blurred, [bank[size][kernel] for size, kernel in pairs], settings.balance
            ),
        }


def gaussian(sigma: float, image_size: int) -> Kernels:
    """Gaussian [K, K] that sums to 1; ``sigma`` is in pixels of a 128 px image, as kernel sizes."""
    scaled = sigma * image_size / REFERENCE_SIZE
    reach = math.ceil(REACH * scaled)
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * scaled**2))
    kernel = np.outer(line, line)
    normalised: Kernels = (kernel / kernel.sum()).astype(np.float32)
    return normalised


def richardson_lucy(images: Images, psf: Kernels, steps: int) -> Images:
    """Richardson-Lucy deconvolution of every image with the same kernel [K, K]."""
    margin = psf.shape[-1]
    deconvolve: Any = restoration.richardson_lucy
    return _quantise(deconvolve(_unit(images, margin), psf[None, None], num_iter=steps), margin)


def wiener(images: Images, psfs: list[Kernels], balance: float) -> Images:
    """Wiener deconvolution of every image with its own kernel [K, K].

    ``balance`` weighs the Laplacian that holds noise down; larger is smoother.
    """
    deconvolve: Any = restoration.wiener
    restored = np.empty_like(images)
    for number, psf in enumerate(psfs):
        margin = 2 * psf.shape[-1]
        channels = _unit(images[number], margin)
        found = [deconvolve(channel, psf, balance) for channel in channels]
        restored[number] = _quantise(np.stack(found), margin)
    return restored


def _unit(images: Images, margin: int) -> NDArray[np.float32]:
    """Scaled to [0, 1], and reflected at the border: both filters assume something else there."""
    around = [(0, 0)] * (images.ndim - 2) + [(margin, margin)] * 2
    return np.pad(images.astype(np.float32) / 255, around, mode="reflect")


def _quantise(images: NDArray[np.floating], margin: int) -> Images:
    inner = images[..., margin:-margin, margin:-margin]
    return np.clip(np.round(inner * 255), 0, 255).astype(np.uint8)
