"""How far values of two runs of the suite may differ: two machines, or a run and its record."""

from __future__ import annotations

# Absolute, except d_VGG: relative to the first folder's value. Images that no training touched
# differ between machines by the rounding of single pixels only; trained rows also by the order of
# sums and by precision (bf16 on one machine, fp32 on the other), which training amplifies.
UNTRAINED = {"psnr": 0.005, "ssim": 0.0002, "lpips": 0.0005, "d_vgg": 0.002}
TRAINED = {"psnr": 0.05, "ssim": 0.003, "lpips": 0.005, "d_vgg": 0.02}
# Rates in percent: one image of a hundred is one point.
RATES = (
    "detection_pct",
    "detection_scrfd_pct",
    "verification_acc_pct",
    "verification_strict_acc_pct",
)
UNTRAINED |= dict.fromkeys(RATES, 1.1)
TRAINED |= dict.fromkeys(RATES, 5.0)  # assumed
RELATIVE = ("d_vgg",)
ROUNDING = 1e-9  # of the subtraction; tables have five decimals
