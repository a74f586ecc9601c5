"""All metrics of the per-image CSV."""

from __future__ import annotations

import torch

from dfpg.core.config import Config
from dfpg.metrics import d_vgg, lpips
from dfpg.metrics.common import Metric
from dfpg.metrics.psnr import Psnr
from dfpg.metrics.ssim import SSIM_MATLAB_RGB, SSIM_SKIMAGE, SSIM_WANG_RGB
from dfpg.pretrained.vggface import PriorNetwork


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
    vgg = lpips.load_network("vgg", device)  # one network, two input ranges
    metrics: list[Metric] = [
        Psnr(),
        SSIM_MATLAB_RGB,
        SSIM_WANG_RGB,
        SSIM_SKIMAGE,
        lpips.lpips_alex(lpips.load_network("alex", device)),
        lpips.lpips_vgg(vgg),
        lpips.lpips_vgg_authors(vgg),
    ]
    if prior is not None:
        prior = prior.to(device)
        metrics.append(d_vgg.d_vgg_authors(prior))
        if config.evaluation.d_vgg_canonical:
            metrics.append(d_vgg.d_vgg_canonical(prior))
    return {metric.name: metric for metric in metrics}
