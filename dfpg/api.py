"""The Python interface: what ``import dfpg`` gives.

Images are NumPy arrays, RGB uint8 [H, W, 3]. Errors that a user can mend are
:class:`dfpg.core.errors.UserError`. Weights that are not in the package are fetched into the
user's cache when they are first needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dfpg.commands.deblur.face_restorer import FaceRestorer
from dfpg.commands.trained import SHIPPED, trained_weights
from dfpg.core.errors import UserError
from dfpg.core.images import Image, check_image

if TYPE_CHECKING:
    import pandas as pd


def load_restorer(source: str | Path = SHIPPED, device: str | None = None) -> FaceRestorer:
    """Load a trained method.

    Args:
        source: ``"shipped"`` for the model in the package; the path of a run's weights; or the
            name of a run that was trained in the project in the current folder, e.g. ``"dfpg_b"``.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``; None for the fastest at hand.

    Raises:
        UserError: no such weights or device, or the file holds no weights of a method.

    Examples:
        >>> import dfpg
        >>> import numpy as np
        >>> restorer = dfpg.load_restorer("shipped", device="cpu")
        >>> restorer.name, restorer.size
        ('dfpgnet', 128)
        >>> face = np.full((160, 160, 3), 128, np.uint8)
        >>> restorer.restore(face).shape
        (160, 160, 3)
        >>> photograph = np.zeros((300, 400, 3), np.uint8)  # no face in it
        >>> bool((restorer.deblur(photograph) == photograph).all())
        True
    """
    return FaceRestorer(trained_weights(source), device)


class ImageMetric:
    """A metric of two images; :func:`metric` makes one.

    Attributes:
        name: name of the convention.
        convention: what is computed, and where it is published.
        higher_is_better: direction.
    """

    name: str
    convention: str
    higher_is_better: bool

    def __init__(self, name: str, device: str = "cpu") -> None:
        from dfpg.metrics.registry import build_metric

        self._metric = build_metric(name, device)
        self._device = device
        self.name = self._metric.name
        self.convention = self._metric.convention
        self.higher_is_better = self._metric.higher_is_better

    def __call__(self, restored: Image, sharp: Image) -> float:
        """Score a restored image against the sharp one, both RGB uint8 [H, W, 3] of one size.

        Raises:
            UserError: not two such arrays, or too small for the metric.
        """
        import torch

        pair = check_image(restored, "restored"), check_image(sharp, "sharp")
        if pair[0].shape != pair[1].shape:
            raise UserError(f"restored is {pair[0].shape}, sharp {pair[1].shape}: give one size")
        own, other = (
            torch.from_numpy(image.transpose(2, 0, 1).copy())[None].to(self._device)
            for image in pair
        )
        with torch.inference_mode():
            return float(self._metric.score(own, self._metric.features(other)))


def metric(name: str, device: str = "cpu") -> ImageMetric:
    """A metric by the name of its convention.

    Args:
        name: ``psnr``, ``ssim_matlab_rgb``, ``ssim_wang_rgb``, ``ssim_skimage``, ``lpips_alex``,
            ``lpips_vgg`` or ``lpips_vgg_authors``.
        device: where it is computed.

    Raises:
        UserError: unknown name, or the weights of LPIPS cannot be fetched.

    Examples:
        >>> import dfpg
        >>> import numpy as np
        >>> sharp = np.full((64, 64, 3), 100, np.uint8)
        >>> restored = sharp + 10
        >>> psnr = dfpg.metric("psnr")
        >>> round(psnr(restored, sharp), 2)  # 10 log10(255^2 / 10^2)
        28.13
        >>> psnr.higher_is_better
        True
        >>> dfpg.metric("ssim_matlab_rgb")(sharp, sharp)
        1.0
    """
    return ImageMetric(name, device)


def blur(image: Image, kernel: NDArray[np.floating[Any]]) -> Image:
    """Convolve an image with a blur kernel, with reflected borders, as the test sets are made.

    No noise is added.

    Args:
        image: RGB uint8 [H, W, 3].
        kernel: [K, K], K odd and at most 2 min(H, W) - 1; of sum 1 to keep the brightness.

    Raises:
        UserError: not such arrays.

    Examples:
        >>> import dfpg
        >>> import numpy as np
        >>> image = np.zeros((9, 9, 3), np.uint8)
        >>> image[4, 4] = 90
        >>> blurred = dfpg.blur(image, np.full((3, 3), 1 / 9))
        >>> blurred[3:6, 3:6, 0].tolist()
        [[10, 10, 10], [10, 10, 10], [10, 10, 10]]
    """
    import torch

    from dfpg.data.blur.degrade import blur as convolve
    from dfpg.data.blur.degrade import quantise_unit, to_unit

    picture = check_image(image, "image")
    weights = np.asarray(kernel, np.float32)
    side = weights.shape[0] if weights.ndim else 0
    if weights.shape != (side, side) or side % 2 == 0 or not np.isfinite(weights).all():
        raise UserError(f"kernel: {weights.shape}: give finite numbers [K, K], K odd")
    if side > 2 * min(picture.shape[:2]) - 1:
        raise UserError(f"kernel: {side} px is too large for an image {picture.shape[:2]}")
    batch = to_unit(torch.from_numpy(picture.transpose(2, 0, 1).copy())[None])
    result = quantise_unit(convolve(batch, torch.from_numpy(weights)[None]))[0]
    return np.ascontiguousarray(result.permute(1, 2, 0).numpy())


def sample_kernels(
    family: Literal["spline", "trajectory"], size: int, n: int, seed: int = 0
) -> NDArray[np.float32]:
    """Draw motion-blur kernels as the training and test sets have them, for faces of 128 px.

    Args:
        family: ``"spline"``, as in protocol B, or ``"trajectory"`` (camera shake), as in A.
        size: nominal size, px: odd, 13 to 27.
        n: number of kernels.
        seed: the same seed, family and size give the same kernels.

    Returns:
        float32 [n, size, size], non-negative, each of sum 1.

    Raises:
        UserError: unknown family, or a size or number that there is not.

    Examples:
        >>> import dfpg
        >>> kernels = dfpg.sample_kernels("spline", size=13, n=3, seed=1)
        >>> kernels.shape
        (3, 13, 13)
        >>> kernels.sum(axis=(1, 2)).round(5).tolist()
        [1.0, 1.0, 1.0]
    """
    from dfpg.core.config import NOMINAL_SIZES, REFERENCE_SIZE
    from dfpg.core.profile import resolve_profile
    from dfpg.core.seeds import generator
    from dfpg.data.blur.kernels import FAMILIES, draw_kernels

    if family not in FAMILIES:
        raise UserError(f"family {family!r}: unknown: use one of {', '.join(FAMILIES)}")
    if size not in NOMINAL_SIZES:
        raise UserError(f"size {size}: use one of {', '.join(map(str, NOMINAL_SIZES))}")
    if n < 1:
        raise UserError(f"n {n}: draw at least one kernel")
    config, _ = resolve_profile("paper")
    rng = generator(seed, "sample_kernels", family, size)
    return draw_kernels(rng, family, size, n, config.kernels.spline.inner_margin, REFERENCE_SIZE)


def score_folders(
    restored: str | Path,
    sharp: str | Path,
    *,
    suffix: str | None = None,
    vggface: str | Path | None = None,
) -> pd.DataFrame:
    """Score a folder of restored images against a folder of sharp ones, by every convention.

    The same as the command ``dfpg score``, which says how images are matched.

    Args:
        restored: folder of restored images.
        sharp: folder of sharp images.
        suffix: what the names of the restored images end with; None for the known patterns.
        vggface: the user's VGGFace file, for d_VGG; None: see ``dfpg score``.

    Returns:
        A row for each pair, with the columns ``restored`` and ``sharp`` (file names) and one for
        each metric.

    Raises:
        UserError: images do not match or cannot be read, or an asset cannot be fetched.

    Examples:
        >>> import dfpg
        >>> import numpy as np
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name, grey in (("sharp", 100), ("restored", 110)):
        ...         Path(folder, name).mkdir()
        ...         picture = Image.fromarray(np.full((64, 64, 3), grey, np.uint8))
        ...         picture.save(Path(folder, name, "face.png"))
        ...     scores = dfpg.score_folders(f"{folder}/restored", f"{folder}/sharp")
        >>> scores[["restored", "psnr"]].round(2).to_dict("list")
        {'restored': ['face.png'], 'psnr': [28.13]}
    """
    from dfpg.commands.score import measure

    own = None if vggface is None else Path(vggface)
    return measure(Path(restored), Path(sharp), own, suffix).scores
