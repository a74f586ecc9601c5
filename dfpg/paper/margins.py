"""The smallest difference that matters, for each metric: below it, better is no better."""

from __future__ import annotations

from typing import NamedTuple


class Margin(NamedTuple):
    """A difference in the metric's unit, and why it is this one."""

    value: float
    reason: str


_RATE = Margin(1.0, "one picture in a hundred; the paper's text and its Table 3 differ by 0.31")
MARGINS = {
    "psnr": Margin(0.05, "the paper's own tables differ by 0.04 dB for one network"),
    "ssim": Margin(0.003, "three units of the last decimal that the paper prints"),
    "d_vgg": Margin(1.0, "2 % of the median of the distances in the paper's Table 2, 56"),
    "lpips": Margin(0.005, "2 % of the median of the distances in the paper's Table 2, 0.23"),
    "detection_pct": _RATE,
    "detection_scrfd_pct": _RATE,
    "verification_acc_pct": _RATE,
    "verification_strict_acc_pct": _RATE,
}
