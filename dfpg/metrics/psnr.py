"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor

from dfpg.metrics.common import PEAK, Features, check_images, check_match


class Psnr:
    """PSNR in dB of each image; tables average these values, never the squared errors."""

    name = "psnr"
    higher_is_better = True
    convention = (
        "PSNR in dB per image on uint8 RGB, peak 255, one mean squared error over all pixels and "
        "channels, no border crop (MATLAB `psnr`; paper Tables 1, 2 and 4)."
    )

    def features(self, sharp: Tensor) -> Features:
        """The images themselves."""
        return (check_images(sharp, self.name),)

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """PSNR, float64 [N]; infinite for identical images."""
        (sharp,) = features
        check_match(check_images(restored, self.name), sharp.shape, self.name)
        # Differences of uint8 are exact in int16, their squares in int32, the sum in int64.
        error = (restored.to(torch.int16) - sharp.to(torch.int16)).to(torch.int32)
        total = error.square().sum(dim=(1, 2, 3), dtype=torch.int64)
        mse = total.to(torch.float64) / restored[0].numel()
        return 10 * torch.log10(PEAK**2 / mse)


def psnr(restored: Tensor, sharp: Tensor) -> Tensor:
    """PSNR in dB, float64 [N], of uint8 RGB [N, 3, H, W]; see :class:`Psnr`."""
    metric = Psnr()
    return metric.score(restored, metric.features(sharp))
