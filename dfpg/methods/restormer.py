"""Restormer (Zamir, Arora, Khan, Hayat, Khan and Yang, CVPR 2022).

Paper: "Restormer: Efficient Transformer for High-Resolution Image Restoration". Layers are those
of its published deblurring configuration. ``load_official`` reads ``motion_deblurring.pth``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Depth, Frozen, Weight, Width
from dfpg.core.errors import UserError
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, Phase, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import zero
from dfpg.methods.losses import pixel_loss
from dfpg.methods.official import Rule, axis_length, count_numbers, load_one_file, read_state

LEVELS = 4
PerLevel = Annotated[list[Depth], Field(min_length=LEVELS, max_length=LEVELS)]
EPSILON = 1e-12  # smallest norm that a query or key is divided by
ACCEPTED = "motion_deblurring.pth or another file of Restormer whose layer normalisation has biases"
NAMES: tuple[Rule, ...] = (  # ours -> the published code's
    (r"^embed\.", "patch_embed.proj."),
    (r"^encoders\.3\.", "latent."),
    (r"^encoders\.(\d)", lambda found: f"encoder_level{int(found[1]) + 1}"),
    (r"^decoders\.(\d)", lambda found: f"decoder_level{3 - int(found[1])}"),
    (r"^downs\.(\d)\.0", lambda found: f"down{int(found[1]) + 1}_{int(found[1]) + 2}.body.0"),
    (r"^ups\.(\d)\.0", lambda found: f"up{4 - int(found[1])}_{3 - int(found[1])}.body.0"),
    (r"^reduces\.(\d)", lambda found: f"reduce_chan_level{3 - int(found[1])}"),
    (r"\.(norm\d)\.", r".\1.body."),
    (r"\.attention\.depthwise\.", ".attn.qkv_dwconv."),
    (r"\.attention\.project\.", ".attn.project_out."),
    (r"\.attention\.", ".attn."),
    (r"\.feed_forward\.expand\.", ".ffn.project_in."),
    (r"\.feed_forward\.depthwise\.", ".ffn.dwconv."),
    (r"\.feed_forward\.project\.", ".ffn.project_out."),
)


class RestormerOptions(Frozen):
    """Block ``methods.restormer`` of params.yaml, overridden by a run's ``options``.

    ``pixels``: the range in which the network sees images; the published weights' is ``unit``.
    """

    width: Annotated[Width, Field(ge=2, multiple_of=2)]
    blocks: PerLevel
    refinement_blocks: Depth
    heads: PerLevel
    expansion: Annotated[float, Field(ge=1, le=16, description="published: 2.66")]
    objective: Literal["native", "l1"]
    init: Literal["released", "identity"]
    weight_decay: Weight
    pixels: Literal["centred", "unit"]  # [-1, 1] or [0, 1]

    @field_validator("heads")
    @classmethod
    def _heads_share_the_channels(cls, value: list[int], info: ValidationInfo) -> list[int]:
        width = info.data.get("width")
        for level, heads in enumerate(value):
            if width is not None and (width << level) % heads:
                raise ValueError(f"{width << level} channels do not divide into {heads} heads")
        return value


def conv1(inputs: int, outputs: int) -> nn.Conv2d:
    """1x1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def conv3(inputs: int, outputs: int, groups: int = 1) -> nn.Conv2d:
    """3x3 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=False)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every position, with bias."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, n, H, W] of mean 0 and variance 1 over n, then scaled and shifted."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """Multi-Dconv head transposed attention: between channels, not between positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = conv1(channels, 3 * channels)
        self.depthwise = conv3(3 * channels, 3 * channels, groups=3 * channels)
        self.project = conv1(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the shape of ``x``."""
        count, channels, height, width = x.shape
        split = (count, self.heads, channels // self.heads, height * width)
        q, k, v = (part.reshape(split) for part in self.depthwise(self.qkv(x)).chunk(3, dim=1))
        # Cosine of every query and key channel; dividing the products is cheaper than q and k.
        products = (q @ k.transpose(-1, -2)).float() / (_norm(q) * _norm(k).transpose(-1, -2))
        weights = (products * self.temperature).softmax(dim=-1).to(v.dtype)
        out: Tensor = self.project((weights @ v).reshape(x.shape))
        return out


def _norm(x: Tensor) -> Tensor:
    """L2 norm over the last axis, kept, in float32; at least ``EPSILON``."""
    return x.float().square().sum(dim=-1, keepdim=True).clamp_min(EPSILON**2).sqrt()


class FeedForward(nn.Module):
    """Gated-Dconv feed-forward network."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.expand = conv1(channels, 2 * hidden)
        self.depthwise = conv3(2 * hidden, 2 * hidden, groups=2 * hidden)
        self.project = conv1(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the shape of ``x``."""
        gate, value = self.depthwise(self.expand(x)).chunk(2, dim=1)
        out: Tensor = self.project(F.gelu(gate) * value)
        return out


class TransformerBlock(nn.Module):
    """Attention, then the feed-forward network; both normalise their input and add to it."""

    def __init__(self, channels: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.attention = Attention(channels, heads)
        self.norm2 = ChannelNorm(channels)
        self.feed_forward = FeedForward(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the shape of ``x``."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.feed_forward(self.norm2(x))
        return out


class Generator(nn.Module):
    """U-net of four levels with concatenated skip connections, refinement and global residual.

    The width doubles at each level. The finest decoder and the refinement have twice the width:
    there, the skip connection is not reduced to it.
    """

    def __init__(
        self,
        width: int,
        blocks: Sequence[int],
        refinement_blocks: int,
        heads: Sequence[int],
        expansion: float,
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(LEVELS)]

        def stage(channels: int, heads: int, count: int) -> nn.Sequential:
            members = (TransformerBlock(channels, heads, expansion) for _ in range(count))
            return nn.Sequential(*members)

        self.embed = conv3(3, width)
        # The last encoder is the paper's latent stage.
        self.encoders = nn.ModuleList(map(stage, widths, heads, blocks))
        self.downs = nn.ModuleList(
            nn.Sequential(conv3(n, n // 2), nn.PixelUnshuffle(2)) for n in widths[:-1]
        )
        # Decoders from coarse to fine.
        self.ups = nn.ModuleList(
            nn.Sequential(conv3(n, 2 * n), nn.PixelShuffle(2)) for n in reversed(widths[1:])
        )
        self.reduces = nn.ModuleList(
            nn.Identity() if n == width else conv1(2 * n, n) for n in reversed(widths[:-1])
        )
        decoded = [2 * width, *widths[1:-1]]
        self.decoders = nn.ModuleList(
            reversed(
                [stage(*level) for level in zip(decoded, heads[:-1], blocks[:-1], strict=True)]
            )
        )
        self.refinement = stage(2 * width, heads[0], refinement_blocks)
        self.output = conv3(2 * width, 3)

    def forward(self, blurred: Tensor) -> Tensor:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of 8."""
        x = self.encoders[0](self.embed(blurred))
        skips = []
        for down, encoder in zip(self.downs, list(self.encoders)[1:], strict=True):
            skips.append(x)
            x = encoder(down(x))
        for up, reduce, decoder in zip(self.ups, self.reduces, self.decoders, strict=True):
            x = decoder(reduce(torch.cat([up(x), skips.pop()], dim=1)))
        out: Tensor = blurred + self.output(self.refinement(x))
        return out


class Restormer(Method):
    """Restormer and its objective, the L1 distance: ``native`` and ``l1`` are the same.

    ``init: released`` is PyTorch's default; ``identity`` sets the last convolution to zero. Its
    patches, which grow from 128 to 384 px in the published training, are replaced by the suite's.
    """

    Options = RestormerOptions
    options: RestormerOptions
    multiple = 1 << (LEVELS - 1)
    system = System(
        "Restormer", "Zamir et al., CVPR", 2022, weights="the repository's own licence; read"
    )
    # 92,000 steps of 300,000 constant; then from 3e-4 to 1e-6.
    recipe = Recipe(Schedule(shape="cosine", constant=92 / 300, final=1 / 300), clip=0.01)
    contract = Contract(
        small={
            "width": 8,
            "blocks": [1, 1, 1, 1],
            "refinement_blocks": 1,
            "heads": [1, 2, 4, 8],
            "expansion": 2.66,
            "objective": "native",
            "init": "identity",
            "weight_decay": 1e-4,
            "pixels": "centred",
        },
        full={"width": 48, "blocks": [4, 6, 6, 8], "refinement_blocks": 4, "init": "released"},
        parameters={"generator": 26_126_644},
        lr=3e-3,
    )

    def __init__(self, name: str, options: RestormerOptions, setting: Setting) -> None:
        super().__init__(name, options, setting)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(setting.seed, "init"))
            generator = Generator(
                options.width,
                options.blocks,
                options.refinement_blocks,
                options.heads,
                options.expansion,
            )
        if options.init == "identity":
            zero(generator.output)
        self.networks["generator"] = generator

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:  # noqa: ARG002
        """AdamW, beta (0.9, 0.999)."""
        parameters = self.networks["generator"].parameters()
        adam = torch.optim.AdamW(parameters, lr, weight_decay=self.options.weight_decay, fused=True)
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
        loss = pixel_loss(self.infer(batch.blurred), batch.sharp)
        yield Phase.of("generator", {"pixel": (1.0, loss)})

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Width, numbers of blocks and heads, and the feed-forward networks' expansion."""
        state = read_state(path, ACCEPTED)
        stages = ["encoder_level1", "encoder_level2", "encoder_level3", "latent"]

        def length(name: str, axis: int = 0) -> int:
            return axis_length(path, state, name, axis, ACCEPTED)

        widths = [
            tuple(length(f"{stage}.0.ffn.project_out.weight", axis) for axis in (0, 1))
            for stage in stages
        ]
        return {
            "width": length("patch_embed.proj.weight"),
            "blocks": [count_numbers(state, rf"{stage}\.(\d+)\.") for stage in stages],
            "refinement_blocks": count_numbers(state, r"refinement\.(\d+)\."),
            "heads": [length(f"{stage}.0.attn.temperature") for stage in stages],
            "expansion": expansion(path, widths),
            "pixels": "unit",
        }

    def load_official(self, path: Path) -> None:
        """Load published weights: a PyTorch file with the published code's names.

        Raises:
            UserError: missing, damaged, another layout, or of other options.
        """
        load_one_file(self, path, NAMES, ACCEPTED, pixels="unit")


def expansion(path: Path, widths: Sequence[tuple[int, ...]]) -> float:
    """The shortest decimal that turns channels into hidden channels, rounded down, at all levels.

    Raises:
        UserError: none with six decimals does.
    """
    least = max(hidden / channels for channels, hidden in widths)
    for digits in range(1, 7):
        ratio: float = math.ceil(least * 10**digits) / 10**digits
        if all(int(channels * ratio) == hidden for channels, hidden in widths):
            return ratio
    raise UserError(f"{path}: no expansion gives hidden channels {widths}; accepted: {ACCEPTED}")
