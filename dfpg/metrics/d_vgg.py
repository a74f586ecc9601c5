"""Distance of VGGFace features, d_VGG, in two conventions; lower is better."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dfpg.metrics.common import Features, check_images, check_match, full_precision
from dfpg.pretrained.vggface import PriorNetwork

TAP = ("pool5",)
LEAST_SIZE = 32  # px, for one value in pool5
CANONICAL_SIZE = 224  # px, VGGFace's input


@dataclass(frozen=True)
class DVgg:
    """One convention of d_VGG: mean squared difference of pool5.

    Args:
        name: name of the convention.
        convention: what it is and where it is published.
        prior: VGGFace or its surrogate.
        canonical: preprocess as VGGFace was trained; else feed RGB in 0-255 as it is.
    """

    name: str
    convention: str
    prior: PriorNetwork
    canonical: bool = False
    higher_is_better: bool = False

    def features(self, sharp: Tensor) -> Features:
        """Pool5, float32 [N, 512, H / 32, W / 32]."""
        values = check_images(sharp, self.name, LEAST_SIZE).to(torch.float32)
        with torch.inference_mode(), full_precision():
            if not self.canonical:
                return tuple(self.prior.raw_features(values, TAP))
            enlarged = functional.interpolate(
                values / 127.5 - 1, (CANONICAL_SIZE, CANONICAL_SIZE), mode="bilinear"
            )
            return tuple(self.prior.features(enlarged, TAP, input="canonical"))

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """d_VGG, float64 [N], 0 for identical images."""
        (own,), (sharp,) = self.features(restored), features
        check_match(own, sharp.shape, self.name)
        return (own.to(torch.float64) - sharp.to(torch.float64)).square().mean(dim=(1, 2, 3))


def d_vgg_authors(prior: PriorNetwork) -> DVgg:
    """RGB in 0-255, as it is."""
    return DVgg(
        name="d_vgg_authors",
        convention=(
            "Mean squared difference of VGG-16 pool5, RGB in 0-255 at the image's own size, no "
            "mean, no BGR: the test script of the paper's laboratory (paper Tables 1 and 2)."
        ),
        prior=prior,
    )


def d_vgg_canonical(prior: PriorNetwork) -> DVgg:
    """VGGFace's own input, 224 px."""
    return DVgg(
        name="d_vgg_canonical",
        convention=(
            "Mean squared difference of VGG-16 pool5 on VGGFace's own input: 224 px (bilinear), "
            "BGR in 0-255 minus the training mean (Parkhi et al. 2015)."
        ),
        prior=prior,
        canonical=True,
    )
