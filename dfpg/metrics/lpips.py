"""Learned perceptual image patch similarity v0.1 (Zhang et al. 2018), the package's own network.

Trunk and input range change the numbers, so they are part of the name.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from dfpg.metrics.common import Features, check_images, check_match, full_precision
from dfpg.metrics.torchvision_shim import import_lpips
from dfpg.pretrained.assets.store import asset_path

LEAST_SIZE = 32  # px, for five levels of either trunk

Trunk = Literal["alex", "vgg"]


def load_network(trunk: Trunk, device: torch.device | str = "cpu") -> Any:
    """``lpips.LPIPS`` with the pinned trunk and heads (asset ``lpips_alex`` or ``lpips_vgg``).

    Nothing is downloaded and no random numbers are drawn.

    Raises:
        UserError: the asset is not fetched.
    """
    return build_network(trunk, asset_path(f"lpips_{trunk}"), device)


def build_network(trunk: Trunk, path: Path, device: torch.device | str = "cpu") -> Any:
    """As :func:`load_network`, from the weights in ``path``."""
    package = import_lpips()
    weights = load_file(path)
    # On the meta device the package's own initialisation costs nothing. The warnings concern the
    # argument by which lpips asks torchvision for an untrained trunk.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = package.LPIPS(net=trunk, pretrained=False, pnet_rand=True, verbose=False)
    state = {}
    for key, value in network.state_dict().items():
        part = key.split(".")
        if part[0] == "net":  # net.sliceK.I.weight
            state[key] = weights[f"features.{part[2]}.{part[3]}"]
        elif part[0] == "lins":  # lins.K.model.1.weight
            state[key] = weights[f"lin{part[1]}.weight"]
        elif part[0].startswith("lin"):  # linK.model.1.weight, the same head by its other name
            state[key] = weights[f"{part[0]}.weight"]
        else:
            state[key] = value
    network.load_state_dict(state, assign=True)
    network.requires_grad_(False)
    return network.eval().to(device=device, memory_format=torch.channels_last)


def unit_length(level: Tensor) -> Tensor:
    """Features [N, C, h, w] divided by their length over the channels, as the package does it."""
    normalised: Tensor = import_lpips().normalize_tensor(level)
    return normalised


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
    network: Any
    unscaled: bool = False
    higher_is_better: bool = False

    def trunk_input(self, images: Tensor) -> Tensor:
        """What the trunk is fed, float32 [N, 3, H, W], channels last."""
        values = check_images(images, self.name, LEAST_SIZE).to(torch.float32)
        if not self.unscaled:
            values = values / 127.5 - 1
        scaled: Tensor = self.network.scaling_layer(
            values.contiguous(memory_format=torch.channels_last)
        )
        return scaled

    def features(self, sharp: Tensor) -> Features:
        """Five maps per image, each of unit length over its channels at every position."""
        with torch.inference_mode(), full_precision():
            maps = self.network.net(self.trunk_input(sharp))
            return tuple(unit_length(level) for level in maps)

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """LPIPS, float64 [N], 0 for identical images."""
        total = torch.zeros(len(restored), dtype=torch.float64, device=restored.device)
        maps = self.features(restored)
        with torch.inference_mode(), full_precision():
            for head, own, sharp in zip(self.network.lins, maps, features, strict=True):
                check_match(own, sharp.shape, self.name)
                total += head((own - sharp).square_()).mean(dim=(1, 2, 3), dtype=torch.float64)
        return total


def lpips_alex(network: Any) -> Lpips:
    """AlexNet trunk (``load_network("alex")``), input in [-1, 1]."""
    return Lpips(
        name="lpips_alex",
        convention=(
            "LPIPS v0.1, AlexNet trunk, RGB in [-1, 1]: the default of the package lpips "
            "(paper Tables 1, 2 and 4, assumed)."
        ),
        network=network,
    )


def lpips_vgg(network: Any) -> Lpips:
    """VGG-16 trunk (``load_network("vgg")``), input in [-1, 1]."""
    return Lpips(
        name="lpips_vgg",
        convention="LPIPS v0.1, VGG-16 trunk, RGB in [-1, 1].",
        network=network,
    )


def lpips_vgg_authors(network: Any) -> Lpips:
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
