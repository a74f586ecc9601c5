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

# Of a single image that is restored again from recorded weights: test sets are synthesised and
# networks run with other orders of sums, which moves values of pixels by 1 of 255 here and there.
IMAGE = {"psnr": 0.02, "ssim": 0.0005, "lpips": 0.001, "d_vgg": 0.005}
# Detectors decide at a threshold: so many images of a row, at least one, may be found in one place
# and missed in the other, or have another distance to their reference.
DETECTION_SHARE = 0.02
DISTANCE = 0.02  # of squared distances of unit vectors, 0 to 4
