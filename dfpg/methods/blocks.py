"""Blocks that several methods share. Features are [N, n, H, W]; no block changes their shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.2  # of every LeakyReLU (sujyQ/SAPPGAN)


def conv3(channels: int) -> nn.Conv2d:
    """3x3 convolution that keeps shape and channels."""
    return nn.Conv2d(channels, channels, 3, padding=1)


class ChannelAttention(nn.Module):
    """CA of Eq. 4: squeeze-and-excitation with reduction 16 (at least one hidden channel)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` times its channel weights, which lie in (0, 1)."""
        pooled = x.mean(dim=(2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(pooled))))


class ResBlock(nn.Module):
    """Residual channel-attention block: x + CA(conv(LReLU(conv(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv3(channels), nn.LeakyReLU(SLOPE), conv3(channels))
        self.attention = ChannelAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` plus the residual."""
        out: Tensor = self.attention(self.body(x))
        return x + out


class ResGroup(nn.Module):
    """``blocks`` residual blocks and the sum with the group's input, without a last convolution."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResBlock(channels) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` plus the blocks' output, which itself contains ``x``."""
        out: Tensor = self.blocks(x)
        return x + out


def affine_branch(channels: int) -> nn.Sequential:
    """conv-LReLU-conv that predicts one affine parameter map."""
    return nn.Sequential(conv3(channels), nn.LeakyReLU(SLOPE), conv3(channels))


class _Affine(nn.Module):
    """Two branches that predict the maps of a spatial affine transform.

    Args:
        channels: n of feature and condition.
        offset: added to what the scale's branch returns: 1 in the released code, 0 in Eq. 1 and 2
            as printed.
    """

    def __init__(self, channels: int, offset: float = 1) -> None:
        super().__init__()
        self.offset = offset
        self.scale = affine_branch(channels)
        self.shift = affine_branch(channels)

    def transform(self, feature: Tensor, condition: Tensor) -> Tensor:
        """Affine transform of ``feature`` by the maps that ``condition`` predicts."""
        scale = self.scale(condition) + self.offset
        out: Tensor = feature * scale + self.shift(condition)
        return out


class SSFT(_Affine):
    """Self spatial feature transform, Eq. 1: alpha(E) * E + beta(E)."""

    def forward(self, feature: Tensor) -> Tensor:
        """``feature`` E transformed by itself."""
        return self.transform(feature, feature)


class SFT(_Affine):
    """Spatial feature transform, Eq. 2: alpha(P) * D + beta(P)."""

    def forward(self, feature: Tensor, prior: Tensor) -> Tensor:
        """``feature`` D transformed by ``prior`` P, both of the same shape."""
        return self.transform(feature, prior)


class ImageNorm(nn.BatchNorm2d):
    """Batch normalisation that takes each image's own statistics outside training, too.

    Codes that never leave the training mode and restore image by image compute this.
    """

    def forward(self, x: Tensor) -> Tensor:
        """In training that of the batch."""
        if self.training:
            return super().forward(x)
        variance, mean = torch.var_mean(x.float(), dim=(2, 3), correction=0, keepdim=True)
        scale = self.weight[:, None, None] * (variance + self.eps).rsqrt()
        return ((x - mean) * scale + self.bias[:, None, None]).to(x.dtype)
