"""Learned perceptual image patch similarity v0.1 (Zhang et al. 2018).

Trunk and input range change the numbers, so they are part of the name. The network is that of the
package ``lpips``, bit for bit, without torchvision, of which that package needs two classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfpg.metrics.common import Features, check_images, check_match, full_precision
from dfpg.pretrained.assets.store import asset_path

LEAST_SIZE = 32  # px, for five levels of either trunk
SHIFT = (-0.030, -0.088, -0.188)  # of RGB in [-1, 1]
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10  # beside the length of a feature vector

Trunk = Literal["alex", "vgg"]

# Convolutions of the five levels as (index in the weight file, stride, padding); the features of a
# level are what its last ReLU gives. Between levels lies a max pooling (side, stride) or nothing.
_LEVELS: dict[Trunk, tuple[tuple[tuple[int, int, int], ...], ...]] = {
    "alex": (((0, 4, 2),), ((3, 1, 2),), ((6, 1, 1),), ((8, 1, 1),), ((10, 1, 1),)),
    "vgg": tuple(
        tuple((index, 1, 1) for index in level)
        for level in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
    ),
}
_POOLINGS: dict[Trunk, tuple[tuple[int, int] | None, ...]] = {
    "alex": (None, (3, 2), (3, 2), None, None),
    "vgg": (None, (2, 2), (2, 2), (2, 2), (2, 2)),
}


class LpipsNetwork(nn.Module):
    """Trunk that gives five maps of features, and a head for each.

    Args:
        trunk: AlexNet or VGG-16.
        weights: ``features.I.weight`` and ``.bias`` of the convolutions, ``linK.weight`` of the
            heads.

    Attributes:
        heads: 1 x 1 convolutions [1, C, 1, 1] that weigh the squared differences.
    """

    _shift: Tensor
    _scale: Tensor

    def __init__(self, trunk: Trunk, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self._levels = nn.ModuleList()
        for level, pooling in zip(_LEVELS[trunk], _POOLINGS[trunk], strict=True):
            layers: list[nn.Module] = [nn.MaxPool2d(*pooling)] if pooling else []
            for index, stride, padding in level:
                kernel, bias = (weights[f"features.{index}.{part}"] for part in ("weight", "bias"))
                layers += [_convolution(kernel, bias, stride, padding), nn.ReLU(inplace=True)]
            self._levels.append(nn.Sequential(*layers))
        self.heads = nn.ModuleList(
            _convolution(weights[f"lin{level}.weight"]) for level in range(len(self._levels))
        )
        self.register_buffer("_shift", torch.tensor(SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_scale", torch.tensor(SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Features:
        """Five maps per image of [N, 3, H, W], of unit length over channels at every position."""
        values = (images - self._shift) / self._scale
        maps = []
        for level in self._levels:
            values = level(values)
            length = values.square().sum(dim=1, keepdim=True).sqrt()
            maps.append(values / (length + EPSILON))
        return tuple(maps)


def _convolution(
    kernel: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> nn.Conv2d:
    """A convolution with these weights, and no random numbers drawn for others."""
    outputs, inputs, side, _ = kernel.shape
    layer = nn.Conv2d(inputs, outputs, side, stride, padding, bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(kernel)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer


def load_network(trunk: Trunk, device: torch.device | str = "cpu") -> LpipsNetwork:
    """Network with the pinned trunk and heads (asset ``lpips_alex`` or ``lpips_vgg``).

    Raises:
        UserError: the asset is not fetched.
    """
    return build_network(trunk, asset_path(f"lpips_{trunk}"), device)


def build_network(trunk: Trunk, path: Path, device: torch.device | str = "cpu") -> LpipsNetwork:
    """As :func:`load_network`, from the weights in ``path``."""
    network = LpipsNetwork(trunk, load_file(path)).eval()
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


@dataclass(frozen=True)
class Lpips:
    """One convention of LPIPS.

    Args:
        name: name of the convention.
        convention: what it is and where it is published.
        network: from :func:`load_network`.
        unscaled: feed 0-255 as it is, in place of [-1, 1].
    """

    name: str
    convention: str
    network: LpipsNetwork
    unscaled: bool = False
    higher_is_better: bool = False

    def features(self, sharp: Tensor) -> Features:
        """Five maps per image, each of unit length over its channels at every position."""
        values = check_images(sharp, self.name, LEAST_SIZE).to(torch.float32)
        if not self.unscaled:
            values = values / 127.5 - 1
        values = values.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), full_precision():
            maps: Features = self.network(values)
            return maps

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """LPIPS, float64 [N], 0 for identical images."""
        total = torch.zeros(len(restored), dtype=torch.float64, device=restored.device)
        maps = self.features(restored)
        with torch.inference_mode(), full_precision():
            for head, own, sharp in zip(self.network.heads, maps, features, strict=True):
                check_match(own, sharp.shape, self.name)
                total += head((own - sharp).square_()).mean(dim=(1, 2, 3), dtype=torch.float64)
        return total


def lpips_alex(network: LpipsNetwork) -> Lpips:
    """AlexNet trunk (``load_network("alex")``), input in [-1, 1]."""
    return Lpips(
        name="lpips_alex",
        convention=(
            "LPIPS v0.1, AlexNet trunk, RGB in [-1, 1]: the default of the package lpips "
            "(paper Table 1, assumed)."
        ),
        network=network,
    )


def lpips_vgg(network: LpipsNetwork) -> Lpips:
    """VGG-16 trunk (``load_network("vgg")``), input in [-1, 1]."""
    return Lpips(
        name="lpips_vgg",
        convention="LPIPS v0.1, VGG-16 trunk, RGB in [-1, 1] (paper Table 2, assumed).",
        network=network,
    )


def lpips_vgg_authors(network: LpipsNetwork) -> Lpips:
    """VGG-16 trunk (``load_network("vgg")``), input in 0-255."""
    return Lpips(
        name="lpips_vgg_authors",
        convention=(
            "LPIPS v0.1, VGG-16 trunk, RGB in 0-255 without scaling, as the test script of the "
            "paper's laboratory feeds it."
        ),
        network=network,
        unscaled=True,
    )
