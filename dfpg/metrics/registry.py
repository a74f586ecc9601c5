"""All metrics of the per-image CSV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dfpg.core.config import Config
from dfpg.core.errors import UserError
from dfpg.core.renamed import unknown_metric
from dfpg.metrics import d_vgg, lpips
from dfpg.metrics.common import Metric
from dfpg.metrics.psnr import Psnr
from dfpg.metrics.ssim import SSIM_MATLAB_RGB, SSIM_SKIMAGE, SSIM_WANG_RGB
from dfpg.pretrained.vggface import PriorNetwork

PLAIN: tuple[Metric, ...] = (Psnr(), SSIM_MATLAB_RGB, SSIM_WANG_RGB, SSIM_SKIMAGE)
# Name -> trunk of its network, and the convention on it.
LPIPS: dict[str, tuple[lpips.Trunk, Callable[[Any], Metric]]] = {
    "lpips_alex": ("alex", lpips.lpips_alex),
    "lpips_vgg": ("vgg", lpips.lpips_vgg),
    "lpips_vgg_authors": ("vgg", lpips.lpips_vgg_authors),
}


def build_metric(name: str, device: torch.device | str = "cpu") -> Metric:
    """One metric by its name; d_VGG is none of these, for it needs a network.

    Raises:
        UserError: unknown name, or the LPIPS asset is not fetched.
    """
    plain = {metric.name: metric for metric in PLAIN}
    if name in plain:
        return plain[name]
    if name in LPIPS:
        trunk, make = LPIPS[name]
        return make(lpips.load_network(trunk, device))
    raise UserError(unknown_metric(name, [*plain, *LPIPS]))


def build_metrics(
    config: Config, prior: PriorNetwork | None, device: torch.device | str = "cpu"
) -> dict[str, Metric]:
    """Every metric of the per-image CSV by name, in the order of its columns.

    Args:
        config: ``evaluation.d_vgg_canonical`` says whether that metric is wanted.
        prior: network of d_VGG; it is moved to ``device``. None: no d_VGG.
        device: where the metrics run; images must be there.

    Raises:
        UserError: the LPIPS assets are not fetched.
    """
    networks = {trunk: lpips.load_network(trunk, device) for trunk in ("vgg", "alex")}
    metrics = [*PLAIN, *(make(networks[trunk]) for trunk, make in LPIPS.values())]
    if prior is not None:
        prior = prior.to(device)
        metrics.append(d_vgg.d_vgg_authors(prior))
        if config.evaluation.d_vgg_canonical:
            metrics.append(d_vgg.d_vgg_canonical(prior))
    return {metric.name: metric for metric in metrics}
