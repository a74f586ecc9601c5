"""BiSeNet face parsing network (Yu et al. 2018), as trained on CelebAMask-HQ and released.

Only inference: batch normalisation is folded into the convolutions, and the two auxiliary heads
of the training are left out. The released variant has no spatial path of its own: the first
feature map of the ResNet-18 stands in for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.errors import UserError

LABELS = 19
EPSILON = 1e-5  # of every batch normalisation
AUXILIARY = ("conv_out16.", "conv_out32.")  # heads of the training
# Each normalisation follows the convolution of this name, in the same block.
CONVOLUTION_OF = {
    "bn": "conv",
    "bn1": "conv1",
    "bn2": "conv2",
    "bn_atten": "conv_atten",
    "downsample.1": "downsample.0",
}


def fold(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights and biases of the convolutions with their batch normalisation folded in.

    Args:
        state: the released state, with ``running_mean`` and so on.

    Returns:
        ``NAME.weight`` for every convolution, ``NAME.bias`` for those that were normalised.
    """
    kept = {key: value for key, value in state.items() if not key.startswith(AUXILIARY)}
    norms = [key.removesuffix(".running_mean") for key in kept if key.endswith(".running_mean")]
    folded = {
        key: value
        for key, value in kept.items()
        if key.endswith(".weight") and key.removesuffix(".weight") not in norms
    }
    for norm in norms:
        own = next(name for name in CONVOLUTION_OF if norm.endswith(f".{name}"))
        name = norm.removesuffix(own) + CONVOLUTION_OF[own]
        gain = kept[f"{norm}.weight"] / (kept[f"{norm}.running_var"] + EPSILON).sqrt()
        folded[f"{name}.weight"] = kept[f"{name}.weight"] * gain.reshape(-1, 1, 1, 1)
        folded[f"{name}.bias"] = kept[f"{norm}.bias"] - kept[f"{norm}.running_mean"] * gain
    return folded


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    # On "meta" nothing is initialised: that would draw from the global stream.
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=bias, device="meta")


class Block(nn.Module):
    """Residual block of ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(inputs, outputs, 3, stride)
        self.conv2 = _conv(outputs, outputs, 3)
        shortcut = [_conv(inputs, outputs, 1, stride)] if inputs != outputs else []
        self.downsample = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H / stride, W / stride]."""
        return F.relu(self.downsample(x) + self.conv2(F.relu(self.conv1(x))))


class Trunk(nn.Module):
    """ResNet-18 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(3, 64, 7, 2)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features at 1/8 (128 channels), 1/16 (256) and 1/32 (512) of the input."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class ConvReLU(nn.Module):
    """Convolution and ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.conv = _conv(inputs, outputs, size)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        return F.relu(self.conv(x))


class Attention(nn.Module):
    """Attention refinement: channels weighted by their own global means."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.conv = ConvReLU(inputs, 128, 3)
        self.conv_atten = _conv(128, 128, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, 128, H, W]."""
        x = self.conv(x)
        weights: Tensor = self.conv_atten(_mean(x)).sigmoid()
        return x * weights


class ContextPath(nn.Module):
    """Trunk, global mean and two attention refinements, brought up to 1/8 of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = Trunk()
        self.conv_avg = ConvReLU(512, 128, 1)
        self.arm16, self.arm32 = Attention(256), Attention(512)
        self.conv_head16, self.conv_head32 = ConvReLU(128, 128, 3), ConvReLU(128, 128, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Detail (the trunk's own features) and context, both [N, 128, H / 8, W / 8]."""
        eighth, sixteenth, deepest = self.resnet(x)
        context = self.arm32(deepest) + self.conv_avg(_mean(deepest))
        context = self.conv_head32(F.interpolate(context, sixteenth.shape[2:]))
        context = context + self.arm16(sixteenth)
        return eighth, self.conv_head16(F.interpolate(context, eighth.shape[2:]))


class Fusion(nn.Module):
    """Feature fusion of detail and context."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = ConvReLU(256, 256, 1)
        self.conv1 = _conv(256, 64, 1, bias=False)
        self.conv2 = _conv(64, 256, 1, bias=False)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        """Two [N, 128, H, W] -> [N, 256, H, W]."""
        x: Tensor = self.convblk(torch.cat([detail, context], 1))
        weights: Tensor = self.conv2(F.relu(self.conv1(_mean(x)))).sigmoid()
        return x + x * weights


class Head(nn.Module):
    """Scores of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvReLU(256, 256, 3)
        self.conv_out = _conv(256, LABELS, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 256, H, W] -> [N, 19, H, W]."""
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class BiSeNet(nn.Module):
    """The whole network, frozen.

    Args:
        state: the released state dict (asset ``bisenet``).
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = Fusion()
        self.conv_out = Head()
        own = {
            key: value.contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value
            for key, value in fold(state).items()
        }
        self.load_state_dict(own, assign=True)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Scores [N, 19, H, W] of normalised RGB images [N, 3, H, W], H and W multiples of 32."""
        scores = self.conv_out(self.ffm(*self.cp(images))).float()  # autocast leaves bf16
        return F.interpolate(scores, images.shape[2:], mode="bilinear", align_corners=True)


def load_bisenet(path: Path) -> BiSeNet:
    """Network from the file of the asset ``bisenet``.

    Raises:
        UserError: the file is damaged or holds another network.
    """
    try:
        return BiSeNet(load_file(path))
    except (OSError, SafetensorError, RuntimeError, KeyError, StopIteration) as error:
        raise UserError(
            f"{path}: damaged, or not the weights of BiSeNet: delete it and run `dfpg fetch`"
        ) from error


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)
