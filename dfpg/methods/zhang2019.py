"""DMPHN 1-2-4, a deep multi-patch hierarchical network (Zhang, Dai, Li and Koniusz, CVPR 2019).

Paper: "Deep Stacked Hierarchical Multi-patch Network for Image Deblurring". Layers, loss and
initialisation are those of the released code (HongguangZhang/DMPHN-cvpr19-master).

A user's copy of the released GoPro weights is a folder of six files, each the state of one part:
``encoder_lv1.pkl``, ``encoder_lv2.pkl``, ``encoder_lv3.pkl`` and ``decoder_lv1.pkl``, ... with
names such as ``layer1.weight`` and ``layer6.0.bias``. ``load_official`` reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from dfpg.core.config import Frozen, Width
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, Phase, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import initialise, zero
from dfpg.methods.losses import pixel_loss
from dfpg.methods.official import Rule, axis_length, match_state, read_state

LEVELS = 3  # whole image, halves, quarters
COLOURS = 3
# Place of each of our layers in the released code: Sequential index -> number of its "layer".
ENCODER_LAYERS = (1, 2, 3, 5, 6, 7, 9, 10, 11)
DECODER_LAYERS = (13, 14, 16, 17, 18, 20, 21, 22, 24)
ACCEPTED = "a folder with the released encoder_lv1.pkl ... decoder_lv3.pkl, of width 32"


class Zhang2019Options(Frozen):
    """Block ``methods.zhang2019`` of params.yaml, overridden by a run's ``options``."""

    width: Annotated[Width, Field(ge=4)]
    objective: Literal["native", "l1"]
    init: Literal["released", "identity"]

    @field_validator("init")
    @classmethod
    def _identity_needs_room(cls, value: str, info: ValidationInfo) -> str:
        if value == "identity" and info.data.get("width", 12) < 12:
            raise ValueError(
                "init identity needs width 12: 4 x 4 pixels of 3 colours go into 4 x width channels"
            )
        return value


class Residual(nn.Module):
    """x + conv(ReLU(conv(x))), 3x3, without normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features of the shape of ``x``."""
        out: Tensor = self.body(x)
        return x + out


def encoder(width: int) -> nn.Sequential:
    """[N, 3, H, W] -> [N, 4 width, H/4, W/4]; no activation outside the residual blocks."""
    n = width
    return nn.Sequential(
        nn.Conv2d(COLOURS, n, 3, padding=1),
        Residual(n),
        Residual(n),
        nn.Conv2d(n, 2 * n, 3, stride=2, padding=1),
        Residual(2 * n),
        Residual(2 * n),
        nn.Conv2d(2 * n, 4 * n, 3, stride=2, padding=1),
        Residual(4 * n),
        Residual(4 * n),
    )


def decoder(width: int) -> nn.Sequential:
    """[N, 4 width, h, w] -> [N, 3, 4h, 4w]."""
    n = width
    return nn.Sequential(
        Residual(4 * n),
        Residual(4 * n),
        nn.ConvTranspose2d(4 * n, 2 * n, 4, stride=2, padding=1),
        Residual(2 * n),
        Residual(2 * n),
        nn.ConvTranspose2d(2 * n, n, 4, stride=2, padding=1),
        Residual(n),
        Residual(n),
        nn.Conv2d(n, COLOURS, 3, padding=1),
    )


class Generator(nn.Module):
    """One encoder and one decoder per level, the finest patches first.

    Works on image - 0.5 of images in [0, 1], which is half of our [-1, 1] range. Patches of one
    level go through its encoder as one batch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoder(width) for _ in range(LEVELS))
        self.decoders = nn.ModuleList(decoder(width) for _ in range(LEVELS))

    def forward(self, blurred: Tensor) -> Tensor:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of 8."""
        whole = blurred / 2
        halves = torch.cat(whole.chunk(2, dim=2))  # [2N, 3, H/2, W]: top ones, then bottom ones
        quarters = torch.cat(halves.chunk(2, dim=3))
        # Left and right quarter side by side again: features of the halves.
        f3 = torch.cat(self.encoders[2](quarters).chunk(2), dim=3)
        f2 = self.encoders[1](halves + self.decoders[2](f3)) + f3
        f2 = torch.cat(f2.chunk(2), dim=2)
        f1 = self.encoders[0](whole + self.decoders[1](f2)) + f2
        out: Tensor = self.decoders[0](f1)
        return 2 * out

    def initialise_as_released(self, seed: int) -> None:
        """Normal weights, std 0.5 sqrt(2 / (k^2 out)), drawn layer by layer; biases 0 (assumed)."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                stream = torch.Generator().manual_seed(derive_seed(seed, "init", name))
                fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels
                nn.init.normal_(layer.weight, 0, 0.5 * math.sqrt(2 / fan_out), generator=stream)
                nn.init.zeros_(cast(Tensor, layer.bias))

    def start_as_identity(self) -> None:
        """Make the untrained network return its input.

        There is no skip connection from input to output, so the image is carried through the
        features: the first channels of every level hold its pixels (2 x 2 and 4 x 4 of them where
        the resolution is a half and a quarter), the other channels stay as initialised. The three
        encoders' features add up to three times the image. The residual branches and the
        residual images of the two lower levels start at zero.
        """
        for module in self.modules():
            if isinstance(module, Residual):
                zero(module.body[-1])
        for part in cast(Iterable[nn.Sequential], self.encoders):
            _centre(part[0], 1.0)
            _unshuffle(part[3], COLOURS)
            _unshuffle(part[6], 4 * COLOURS)
        for number, part in enumerate(cast(Iterable[nn.Sequential], self.decoders)):
            _shuffle(part[2], 4 * COLOURS)
            _shuffle(part[5], COLOURS)
            zero(part[8])
            if number == 0:
                _centre(part[8], 1 / LEVELS)


@torch.no_grad()
def _centre(conv: nn.Module, share: float) -> None:
    """Channel c of the output is ``share`` times channel c of the input, for the colours."""
    weight = cast(nn.Conv2d, conv).weight
    weight[:COLOURS] = 0
    for colour in range(COLOURS):
        weight[colour, colour, 1, 1] = share


@torch.no_grad()
def _unshuffle(conv: nn.Module, channels: int) -> None:
    """Output channel 4c + 2i + j is input channel c at the pixels (2y + i, 2x + j)."""
    weight = cast(nn.Conv2d, conv).weight  # [out, in, 3, 3], stride 2, padding 1
    weight[: 4 * channels] = 0
    for c in range(channels):
        for i in range(2):
            for j in range(2):
                weight[4 * c + 2 * i + j, c, 1 + i, 1 + j] = 1


@torch.no_grad()
def _shuffle(conv: nn.Module, channels: int) -> None:
    """Inverse of :func:`_unshuffle`."""
    weight = cast(nn.ConvTranspose2d, conv).weight  # [in, out, 4, 4], stride 2, padding 1
    weight[:, :channels] = 0
    for c in range(channels):
        for i in range(2):
            for j in range(2):
                weight[4 * c + 2 * i + j, c, 1 + i, 1 + j] = 1


class Zhang2019(Method):
    """DMPHN 1-2-4 and its objective: squared error of the whole image's level only.

    ``objective: l1`` is the plain L1 distance of the output instead.
    """

    Options = Zhang2019Options
    options: Zhang2019Options
    multiple = 8  # quarters of the image, down-sampled twice
    system = System(
        "DMPHN 1-2-4", "Zhang et al., CVPR", 2019, weights="no licence stated; GoPro's are read"
    )
    # x 0.1 every 1,000 epochs, of 2,400.
    recipe = Recipe(Schedule(shape="step", drops=((10 / 24, 0.1), (20 / 24, 0.01))))
    contract = Contract(
        small={"width": 12, "objective": "native", "init": "identity"},
        full={"width": 32, "init": "released"},
        parameters={"generator": 5_424_393},
    )

    def __init__(self, name: str, options: Zhang2019Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        generator = Generator(options.width)
        if options.init == "identity":
            initialise(generator, setting.seed, scale=0.5)
            generator.start_as_identity()
        else:
            generator.initialise_as_released(setting.seed)
        self.networks["generator"] = generator

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        image: Tensor = self.networks["generator"](blurred)
        return image

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One phase."""
        restored = self.networks["generator"](batch.blurred)
        if self.options.objective == "l1":
            loss = pixel_loss(restored, batch.sharp)
        else:
            # Of images in [0, 1], as in the released code: a quarter of that in our range.
            loss = ((restored.float() - batch.sharp) / 2).square().mean()
        yield Phase.of("generator", {"pixel": (1.0, loss)})

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """The width."""
        file = path / "encoder_lv1.pkl"
        width = axis_length(file, read_state(file, ACCEPTED), "layer1.weight", 0, ACCEPTED)
        return {"width": width, "init": "released"}

    def load_official(self, path: Path) -> None:
        """Load the released weights, of width 32; layout: this module's description.

        Raises:
            UserError: a file is missing, damaged, or not that part of DMPHN; or another width.
        """
        generator = cast(Generator, self.networks["generator"])
        states = []
        for part, layers, networks in (
            ("encoder", ENCODER_LAYERS, generator.encoders),
            ("decoder", DECODER_LAYERS, generator.decoders),
        ):
            for level, network in enumerate(networks, start=1):
                file = path / f"{part}_lv{level}.pkl"
                state = read_state(file, ACCEPTED)
                states.append((network, match_state(file, network, state, names(layers), ACCEPTED)))
        for network, state in states:
            network.load_state_dict(state)


def names(layers: tuple[int, ...]) -> list[Rule]:
    """Our names of a part's tensors -> the released code's, as ``layer5.0.weight``."""
    return [(r"^\d+", lambda found: f"layer{layers[int(found[0])]}"), (r"\.body", "")]
