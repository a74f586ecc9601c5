"""What is measured on: the embedded test faces, moved by a diagonal blur; networks, priors."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bench.facts import ROOT
from dfpg.core.config import Config
from dfpg.core.files import read_image
from dfpg.core.profile import resolve_profile
from dfpg.data.blur.degrade import blur, quantise, to_signed
from dfpg.data.faces.dataset import read_index
from dfpg.methods.base import Method, PriorFeatures
from dfpg.methods.registry import build_method
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.vggface import PriorNetwork, load_trunk
from dfpg.training.surrogate import fold_state

MOST = 32  # different faces
KERNEL = 15  # side of the blur kernel, px


@cache
def profile(name: str, image_size: int) -> Config:
    """A profile at another image size."""
    return resolve_profile(name)[0].model_copy(update={"image_size": image_size})


@cache
def sharp_faces(size: int) -> Tensor:
    """Test faces, uint8 [MOST, 3, size, size]."""
    index = read_index(ROOT / "data")
    names = sorted(index.loc[index["split"] == "test", "file"])[:MOST]
    pictures = torch.stack(
        [torch.tensor(read_image(ROOT / "data" / "faces" / name)) for name in names]
    )
    values = to_signed(pictures.permute(0, 3, 1, 2))
    return quantise(F.interpolate(values, (size, size), mode="bilinear", antialias=True))


@cache
def blurred_faces(size: int) -> Tensor:
    """The same faces, blurred along the diagonal, uint8."""
    kernels = (torch.eye(KERNEL) / KERNEL).expand(MOST, KERNEL, KERNEL)
    return quantise(blur(to_signed(sharp_faces(size)), kernels))


def blurred_batch(size: int, batch: int, device: torch.device) -> Tensor:
    """A method's input, float [batch, 3, size, size] in [-1, 1]."""
    return to_signed(blurred_faces(size)[:batch]).to(device)


def first_run(config: Config, method: str) -> str:
    """A run of a method."""
    return next(run for run, settings in config.runs.items() if settings.method == method)


def untrained_method(config: Config, method: str, prior: PriorFeatures | None = None) -> Method:
    """A method's first run, with untrained weights: they cost what trained ones cost."""
    return build_method(config, first_run(config, method), prior)


def prior_network(device: torch.device) -> PriorNetwork:
    """VGG-16's ImageNet trunk: as fast as VGGFace or the surrogate."""
    return PriorNetwork(fold_state(load_trunk(asset_path("vgg16_imagenet")))).to(device)
