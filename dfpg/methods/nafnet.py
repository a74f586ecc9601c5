"""NAFNet (Chen, Chu, Zhang and Sun, "Simple Baselines for Image Restoration", ECCV 2022).

Layers are those of the published GoPro configuration of width 32. At test time its authors replace
the global pooling by a local one for images larger than the training crops; here both have the
same size. ``load_official`` reads the published files, as ``NAFNet-GoPro-width32.pth``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Depth, Frozen, Weight, Width
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, Phase, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import zero
from dfpg.methods.losses import pixel_loss
from dfpg.methods.official import Rule, axis_length, count_numbers, load_one_file, read_state

LEVELS = 4
Blocks = Annotated[list[Depth], Field(min_length=LEVELS, max_length=LEVELS)]
EPSILON = 1e-8  # added to the mean squared error under the logarithm
ACCEPTED = "NAFNet-GoPro-width32.pth, NAFNet-GoPro-width64.pth or NAFNet-SIDD-width32.pth, -width64"
NAMES: tuple[Rule, ...] = (  # ours -> the published code's
    (r"^middle\.", "middle_blks."),
    (r"\.expand1\.", ".conv1."),
    (r"\.depthwise\.", ".conv2."),
    (r"\.attention\.", ".sca.1."),
    (r"\.project1\.", ".conv3."),
    (r"\.expand2\.", ".conv4."),
    (r"\.project2\.", ".conv5."),
)


class NAFNetOptions(Frozen):
    """Block ``methods.nafnet`` of params.yaml, overridden by a run's ``options``.

    ``pixels``: the range in which the network sees images; the published weights' is ``unit``.
    """

    width: Width
    encoder_blocks: Blocks
    middle_blocks: Depth
    decoder_blocks: Blocks
    objective: Literal["native", "l1"]
    init: Literal["released", "identity"]
    weight_decay: Weight
    pixels: Literal["centred", "unit"]  # [-1, 1] or [0, 1]


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of every position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, n, H, W] of mean 0 and variance 1 over n, then scaled and shifted."""
        # Without a copy where x is channels_last.
        channels = (self.weight.numel(),)
        out = F.layer_norm(x.permute(0, 2, 3, 1), channels, self.weight, self.bias, eps=1e-6)
        return out.permute(0, 3, 1, 2)


def simple_gate(x: Tensor) -> Tensor:
    """Product of the two halves of the channels."""
    first, second = x.chunk(2, dim=1)
    return first * second


class NAFBlock(nn.Module):
    """x + beta y(x), then + gamma z of it; no other non-linearity than the gates."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        n = channels
        self.norm1 = ChannelNorm(n)
        self.expand1 = nn.Conv2d(n, 2 * n, 1)
        self.depthwise = nn.Conv2d(2 * n, 2 * n, 3, padding=1, groups=2 * n)
        self.attention = nn.Conv2d(n, n, 1)  # simplified channel attention
        self.project1 = nn.Conv2d(n, n, 1)
        self.norm2 = ChannelNorm(n)
        self.expand2 = nn.Conv2d(n, 2 * n, 1)
        self.project2 = nn.Conv2d(n, n, 1)
        self.beta = nn.Parameter(torch.zeros(1, n, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, n, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Features of the shape of ``x``."""
        y = simple_gate(self.depthwise(self.expand1(self.norm1(x))))
        y = y * self.attention(y.mean(dim=(2, 3), keepdim=True))
        x = x + self.beta * self.project1(y)
        z = simple_gate(self.expand2(self.norm2(x)))
        out: Tensor = x + self.gamma * self.project2(z)
        return out


def blocks(channels: int, count: int) -> nn.Sequential:
    """``count`` blocks in a row."""
    return nn.Sequential(*(NAFBlock(channels) for _ in range(count)))


class Generator(nn.Module):
    """U-net of four levels; the width doubles at each; skip connections and residual are sums."""

    def __init__(
        self,
        width: int,
        encoder_blocks: Sequence[int],
        middle_blocks: int,
        decoder_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(LEVELS)]
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(
            blocks(n, count) for n, count in zip(widths, encoder_blocks, strict=True)
        )
        self.downs = nn.ModuleList(nn.Conv2d(n, 2 * n, 2, stride=2) for n in widths)
        self.middle = blocks(2 * widths[-1], middle_blocks)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * n, 4 * n, 1, bias=False), nn.PixelShuffle(2))
            for n in reversed(widths)
        )
        self.decoders = nn.ModuleList(
            blocks(n, count) for n, count in zip(reversed(widths), decoder_blocks, strict=True)
        )
        self.ending = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, blurred: Tensor) -> Tensor:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of 16."""
        x = self.intro(blurred)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        out: Tensor = blurred + self.ending(x)
        return out


class NAFNet(Method):
    """NAFNet and its objective, the negative PSNR; ``objective: l1`` is the plain L1 distance.

    ``init: released`` is PyTorch's default with residual factors of zero; ``identity`` sets the
    last convolution to zero too.
    """

    Options = NAFNetOptions
    options: NAFNetOptions
    multiple = 1 << LEVELS
    system = System("NAFNet", "Chen et al., ECCV", 2022, weights="MIT; read")
    recipe = Recipe(Schedule(shape="cosine", final=1e-4), clip=0.01)  # from 1e-3 to 1e-7
    contract = Contract(
        small={
            "width": 8,
            "encoder_blocks": [1, 1, 1, 2],
            "middle_blocks": 1,
            "decoder_blocks": [1, 1, 1, 1],
            "objective": "native",
            "init": "identity",
            "weight_decay": 1e-3,
            "pixels": "centred",
        },
        full={"width": 32, "encoder_blocks": [1, 1, 1, 28], "init": "released"},
        parameters={"generator": 17_111_907},
        lr=3e-3,
        quick=True,
    )

    def __init__(self, name: str, options: NAFNetOptions, setting: Setting) -> None:
        super().__init__(name, options, setting)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(setting.seed, "init"))
            generator = Generator(
                options.width,
                options.encoder_blocks,
                options.middle_blocks,
                options.decoder_blocks,
            )
        if options.init == "identity":
            zero(generator.ending)
        self.networks["generator"] = generator

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:  # noqa: ARG002
        """AdamW, beta (0.9, 0.9)."""
        parameters = self.networks["generator"].parameters()
        decay = self.options.weight_decay
        adam = torch.optim.AdamW(parameters, lr, (0.9, 0.9), weight_decay=decay, fused=True)
        return {"generator": adam}

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        generator = self.networks["generator"]
        if self.options.pixels == "unit":
            image: Tensor = 2 * generator((blurred + 1) / 2) - 1
        else:
            image = generator(blurred)
        return image

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One phase."""
        restored = self.infer(batch.blurred)
        if self.options.objective == "l1":
            yield Phase.of("generator", {"pixel": (1.0, pixel_loss(restored, batch.sharp))})
        else:
            yield Phase.of("generator", {"psnr": (-1.0, psnr(restored, batch.sharp))})

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Width and numbers of blocks."""
        state = read_state(path, ACCEPTED)

        def blocks(part: str) -> list[int]:
            return [count_numbers(state, rf"{part}\.{level}\.(\d+)\.") for level in range(LEVELS)]

        return {
            "width": axis_length(path, state, "intro.weight", 0, ACCEPTED),
            "encoder_blocks": blocks("encoders"),
            "middle_blocks": count_numbers(state, r"middle_blks\.(\d+)\."),
            "decoder_blocks": blocks("decoders"),
            "pixels": "unit",
        }

    def load_official(self, path: Path) -> None:
        """Load published weights: a PyTorch file with the published code's names.

        Raises:
            UserError: missing, damaged, another layout, or of other options.
        """
        load_one_file(self, path, NAMES, ACCEPTED, pixels="unit")


def psnr(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean PSNR in dB of images [N, 3, H, W] in [-1, 1], not quantised."""
    squared = ((restored.float() - sharp) / 2).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(squared + EPSILON).mean()
