"""Semantic face deblurring (Shen, Lai, Xu, Kautz and Yang, CVPR 2018).

Paper: "Deep Semantic Face Deblurring". The topology is that of the released demonstration
(joanshen0508/Deep-Semantic-Face-Deblurring). The authors' repository holds two trained pairs of a
deblurring and a parsing net, ``net_G_P_S_F.mat`` with ``net_P_P_S_F.mat`` and the same with
``_GAN``; ``load_official`` reads a folder with one pair. The widths are in these files; without
them they are assumed. No training code was released; what the paper leaves open is assumed, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Frozen, Share, Steps, Weight, Width
from dfpg.core.errors import UserError
from dfpg.methods import losses
from dfpg.methods.base import Method, Phase, PriorInput, Setting
from dfpg.methods.batch import Batch, LabelledBatch
from dfpg.methods.blocks import SLOPE, ImageNorm
from dfpg.methods.card import Contract, System
from dfpg.methods.initialise import freeze, initialise, zero
from dfpg.methods.measures import parsing_measures
from dfpg.methods.official import (
    CONVOLUTION,
    Rule,
    axis_length,
    check_options,
    match_state,
    read_structs,
)
from dfpg.pretrained.parsing import SHEN11, one_hot, to_shen11

COLOURS = 3
CLASSES = len(SHEN11)
COMPONENTS = tuple(  # brows, eyes, nose, lips and the mouth with its teeth
    index for index, name in enumerate(SHEN11) if name not in ("background", "skin", "hair")
)
PARSING_KERNELS = (3, 3, 5, 3, 3, 3)
PARSING_WIDTHS = (1, 2, 4, 8, 8, 8)  # times the width (assumed)
UNITS = 5  # residual units per scale
TAPS = ("pool2", "pool5")

PAIRS = tuple((f"net_G_P_S_F{kind}.mat", f"net_P_P_S_F{kind}.mat") for kind in ("", "_GAN"))
ACCEPTED = (
    "a folder with the released net_G_P_S_F.mat and net_P_P_S_F.mat, or the two with _GAN "
    "(output image, pixels released, parsing_statistics image)"
)
FIELDS = ("w", "b", "bw", "bb", "upw", "upb")  # of a layer: convolution, normalisation, transposed
UP = 17  # number of the up-sampling layer in net_G; the finer scale's follow


def _parsing(first: int, field: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"net_P({first + int(found[1])}).{field}"


def _deblurring(found: re.Match[str]) -> str:
    """Convolutions 1 to 3 of a scale are its head's, 4 to 13 the units', 14 to 16 the tail's."""
    scale, part, place, inner = found.groups()
    number = {"head": 1 + int(place) // 2, "tail": 14 + int(place) // 2}.get(part, 0)
    if part == "units":
        number = 4 + 2 * int(place) + (inner == "3")
    return f"net_G({number + (UP if scale == 'fine' else 0)})."


NAMES: tuple[Rule, ...] = (  # ours -> released struct array, number and field
    (r"^parsing\.encoder\.(\d)\.0\.", _parsing(1, "")),
    (r"^parsing\.encoder\.(\d)\.1\.", _parsing(1, "b")),
    (r"^parsing\.decoder\.(\d)\.0\.", _parsing(7, "up")),
    (r"^parsing\.decoder\.(\d)\.1\.0\.", _parsing(7, "")),
    (r"^parsing\.decoder\.(\d)\.1\.1\.", _parsing(7, "b")),
    (r"^parsing\.head\.", "net_P(12)."),
    (r"^(coarse|fine)\.(head|units|tail)\.(\d)\.(?:body\.(\d)\.)?", _deblurring),
    (r"^up\.", f"net_G({UP})."),
    (r"weight$", "w"),
    (r"bias$", "b"),
)

Channels = Annotated[Width, Field(ge=4)]


class Shen2018Options(Frozen):
    """Block ``methods.shen2018`` of params.yaml, overridden by a run's ``options``.

    ``parsing_width`` is that of the finest stage, or a list of all six encoder stages' widths.
    ``parsing_up`` says which layer of a decoder stage reduces the channels: its transposed
    convolution, or the one behind that.
    """

    width: Channels
    parsing_width: Channels | Annotated[list[Channels], Field(min_length=6, max_length=6)]
    discriminator_width: Channels
    parsing_steps: Steps
    parsing_sharp: Share
    objective: Literal["native", "l1"]
    output: Literal["image", "residual"]
    pixels: Literal["unit", "centred", "released"]
    lambda_structural: Weight
    lambda_perceptual: Weight
    lambda_adversarial: Weight
    perceptual_input: PriorInput
    parsing_up: Literal["transposed", "behind"]
    parsing_statistics: Literal["moving", "image"]

    @field_validator("pixels")
    @classmethod
    def _released_pixels_are_no_residual(cls, value: str, info: ValidationInfo) -> str:
        if value == "released" and info.data.get("output") == "residual":
            raise ValueError("released needs output image, as the demonstration")
        return value

    def parsing_widths(self) -> list[int]:
        """Channels of the parsing net's encoder stages."""
        if isinstance(self.parsing_width, list):
            return self.parsing_width
        return [factor * self.parsing_width for factor in PARSING_WIDTHS]


def conv_norm(inputs: int, outputs: int, size: int, own_statistics: bool) -> nn.Sequential:
    """conv-BN-ReLU that keeps the image's size."""
    norm = ImageNorm if own_statistics else nn.BatchNorm2d
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=size // 2),
        norm(outputs, eps=1e-4),
        nn.ReLU(),
    )


class Parsing(nn.Module):
    """Parsing net: eleven class logits per pixel.

    Six encoder stages with pooling between them, five decoder stages; the decoder's outputs, but
    for the last one, are added to the encoder's of the same size.
    """

    def __init__(self, options: Shen2018Options) -> None:
        super().__init__()
        widths, own = options.parsing_widths(), options.parsing_statistics == "image"
        inputs = [COLOURS, *widths[:-1]]
        self.encoder = nn.ModuleList(
            conv_norm(i, o, k, own) for i, o, k in zip(inputs, widths, PARSING_KERNELS, strict=True)
        )
        self.decoder = nn.ModuleList()
        for i, o in pairwise(widths[::-1]):
            between = i if options.parsing_up == "behind" else o
            up = nn.ConvTranspose2d(i, between, 4, stride=2, padding=1)
            self.decoder.append(nn.Sequential(up, conv_norm(between, o, 3, own)))
        self.head = nn.Conv2d(widths[0], CLASSES, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W], H and W multiples of 32 -> logits [N, 11, H, W]."""
        x, skips = image, []
        for number, stage in enumerate(self.encoder):
            x = stage(F.max_pool2d(x, 2) if number else x)
            skips.append(x)
        skips = skips[-2:0:-1]  # stages 5, 4, 3, 2
        for stage, skip in zip(self.decoder, [*skips, None], strict=True):
            x = stage(x) if skip is None else stage(x) + skip
        logits: Tensor = self.head(x)
        return logits


def conv5(inputs: int, outputs: int) -> nn.Conv2d:
    """5x5 convolution that keeps the image's size."""
    return nn.Conv2d(inputs, outputs, 5, padding=2)


class Unit(nn.Module):
    """Residual unit; it rectifies what it reads of the running sum, not the sum itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReLU(), conv5(channels, channels), nn.ReLU(), conv5(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, n, H, W] -> same shape."""
        out: Tensor = self.body(x)
        return x + out


class Stack(nn.Module):
    """One scale of the deblurring net: an image from images and class maps, no normalisation."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        n = width
        self.head = nn.Sequential(
            nn.Conv2d(inputs, n, 11, padding=5), nn.ReLU(),
            conv5(n, n), nn.ReLU(),
            conv5(n, n), nn.ReLU(),
        )  # fmt: skip
        self.units = nn.Sequential(*(Unit(n) for _ in range(UNITS)))
        self.tail = nn.Sequential(
            nn.ReLU(), conv5(n, n), nn.ReLU(), conv5(n, n), nn.ReLU(), conv5(n, COLOURS)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, 3, H, W]."""
        out: Tensor = self.tail(self.units(self.head(x)))
        return out


class Restored(NamedTuple):
    """Output of the generator: images at full and at half size, in [-1, 1]."""

    image: Tensor
    half: Tensor


class Generator(nn.Module):
    """Parsing net and two scales of deblurring, each of which sees the class maps.

    The networks work on pixel values in [0, 1], or in [-1, 1] if ``pixels`` is ``centred``. If
    ``output`` is ``residual``, each scale's input image is added to what its layers return.
    ``pixels: released`` is the released demonstration's input: bytes over 256, and a half-size
    picture by bicubic instead of mean resampling.
    """

    steps: Tensor

    def __init__(self, options: Shen2018Options) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))  # training steps taken
        self.parsing = Parsing(options)
        self.coarse = Stack(COLOURS + CLASSES, options.width)
        self.up = nn.ConvTranspose2d(COLOURS, COLOURS, 4, stride=2, padding=1)
        self.fine = Stack(2 * COLOURS + CLASSES, options.width)

    def forward(self, blurred: Tensor) -> Restored:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of 32.

        The parsing net gets no gradient from here.
        """
        image = self.pixels(blurred)
        with torch.no_grad():
            maps = self.parsing(image).float().softmax(dim=1)
        small = self.halve(image)
        half = self.coarse(torch.cat([small, F.max_pool2d(maps, 2)], 1))
        if self.options.output == "residual":
            half = half + small
        full = self.fine(torch.cat([self.up(half), image, maps], 1))
        if self.options.output == "residual":
            full = full + image
        if self.options.pixels == "centred":
            return Restored(full, half)
        return Restored(2 * full - 1, 2 * half - 1)

    def pixels(self, images: Tensor) -> Tensor:
        """What the networks take of images in [-1, 1]."""
        if self.options.pixels == "centred":
            return images
        white = 255 / 256 if self.options.pixels == "released" else 1.0
        return white * (images + 1) / 2

    def halve(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 3, H/2, W/2]; what MATLAB mirrors at the border is left out here."""
        if self.options.pixels == "released":
            return F.interpolate(image.float(), scale_factor=0.5, mode="bicubic", antialias=True)
        return F.avg_pool2d(image, 2)

    def deblurring(self) -> Iterator[nn.Parameter]:
        """All parameters but the parsing net's."""
        for part in (self.coarse, self.up, self.fine):
            yield from part.parameters()

    def start_as_identity(self) -> None:
        """Make the untrained network return its input at both scales, if it is ``residual``."""
        for stack in (self.coarse, self.fine):
            zero(stack.tail[-1])


class Discriminator(nn.Sequential):
    """DCGAN's: four strided convolutions, batch normalisation between them; sizes assumed."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        inputs = COLOURS
        for outputs in (width, 2 * width, 4 * width, 8 * width):
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            if inputs != COLOURS:
                layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.LeakyReLU(SLOPE))
            inputs = outputs
        super().__init__(*layers, nn.Conv2d(inputs, 1, 3, padding=1))


class Shen2018(Method):
    """Semantic deblurring: networks, losses and their order in one run.

    The first ``parsing_steps`` steps train the parsing net, on sharp and then on blurred images;
    it is frozen afterwards (assumed), and the deblurring net is trained. That kernels grow from
    step to step is the training view's. The local structural loss looks at the components of the
    sharp image's labels (assumed). ``lambda_adversarial: 0`` is the paper's model without a
    discriminator. ``objective: l1`` is the plain L1 distance of the output.

    Two options are for short budgets. ``output: residual`` adds a skip connection to each scale and
    starts as the identity; the demonstration's layers return the image itself (``image``).
    ``pixels: centred`` replaces the demonstration's [0, 1], which gives every feature a large mean,
    so that learning is slow.

    Two are for the released weights, whose demonstration computes so: ``pixels: released`` and
    ``parsing_statistics: image``, that is batch normalisation by each image's own statistics.
    """

    Options = Shen2018Options
    options: Shen2018Options
    multiple = 32
    view: ClassVar[str] = "growing"
    gradient_parts: ClassVar = {"encoder": ("coarse",)}
    system = System(
        "Deep semantic deblurring", "Shen et al., CVPR", 2018, weights="no licence stated; read"
    )
    contract = Contract(
        small={
            "width": 16,
            "parsing_width": 4,
            "discriminator_width": 4,
            "parsing_steps": 1,
            "parsing_sharp": 0.5,
            "objective": "native",
            "output": "residual",
            "pixels": "centred",
            "lambda_structural": 1.0,  # components: 38 % of these images, 5 % of a face
            "lambda_perceptual": 1e-5,
            "lambda_adversarial": 5e-5,
            "perceptual_input": "canonical",
            "parsing_up": "transposed",
            "parsing_statistics": "moving",
        },
        full={
            "width": 64,
            "parsing_width": 64,
            "discriminator_width": 64,
            "output": "image",
            "pixels": "unit",
        },
        parameters={
            "generator": 3_118_937 + 23_444_939,
            "generator.parsing": 23_444_939,
            "discriminator": 2_762_945,
        },
        identity={},
        l1={"objective": "l1", "parsing_steps": 0},
    )

    def __init__(self, name: str, options: Shen2018Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        residual = options.output == "residual"
        generator = Generator(options)
        # Nothing normalises what the residual units add up: larger weights make learning slow.
        initialise(generator, setting.seed, scale=0.5 if residual else 1.0)
        if residual:
            generator.start_as_identity()
        self.networks["generator"] = generator
        native = options.objective == "native" and options.lambda_adversarial > 0
        if native and setting.prior is not None:
            discriminator = Discriminator(options.discriminator_width)
            initialise(discriminator, setting.seed, scale=1.0)
            self.networks["discriminator"] = discriminator

    @classmethod
    def needs_prior(cls, options: Shen2018Options) -> bool:
        """Its own objective has a perceptual loss."""
        return options.objective == "native"

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:
        """Adam, for the parsing net, the deblurring net and the discriminator."""
        generator = cast(Generator, self.networks["generator"])
        groups = {
            "parsing": (list(generator.parsing.parameters()), lr),
            "generator": (list(generator.deblurring()), lr),
        }
        if "discriminator" in self.networks:
            own = list(self.networks["discriminator"].parameters())
            groups["discriminator"] = (own, lr_discriminator)
        return {
            name: torch.optim.Adam(parameters, lr=rate, fused=True)
            for name, (parameters, rate) in groups.items()
        }

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        image: Tensor = self.networks["generator"](blurred).image
        return image

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """First the parsing net alone; later D, then G, both on one pass of the generator."""
        generator = cast(Generator, self.networks["generator"])
        labels = to_shen11(cast(LabelledBatch, batch).labels)
        step = int(generator.steps)
        generator.steps += 1
        if step < self.options.parsing_steps:
            generator.parsing.train()
            first = step < self.options.parsing_sharp * self.options.parsing_steps
            image = batch.sharp if first else batch.blurred
            logits = generator.parsing(generator.pixels(image)).float()
            loss = F.cross_entropy(logits, labels.long())
            yield Phase.of("parsing", {"parsing": (1.0, loss)})
            return
        generator.parsing.eval()
        restored: Restored = generator(batch.blurred)
        if self.options.objective == "l1":
            loss = losses.pixel_loss(restored.image, batch.sharp)
            yield Phase.of("generator", {"pixel": (1.0, loss)})
            return
        if "discriminator" in self.networks:
            discriminator = self.networks["discriminator"]
            real = discriminator(batch.sharp).float()
            fake = discriminator(restored.image.detach()).float()
            figures = {
                "d_real": real.detach().sigmoid().mean(),
                "d_fake": fake.detach().sigmoid().mean(),
            }
            yield Phase("discriminator", losses.discriminator_loss(real, fake), figures)
        yield Phase.of("generator", self._losses(batch.sharp, restored, labels))

    def discriminator_scores(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Mean logits of sharp and restored images."""
        if "discriminator" not in self.networks:
            return None
        discriminator = self.networks["discriminator"]
        real = discriminator(batch.sharp).float()
        fake = discriminator(self.infer(batch.blurred)).float()
        return real.mean(dim=(1, 2, 3)), fake.mean(dim=(1, 2, 3))

    def mechanisms(self, batch: Batch) -> dict[str, Tensor]:
        """How well the class maps of blurred faces are those of the sharp ones."""
        generator = cast(Generator, self.networks["generator"])
        made, sharp = (
            generator.parsing(generator.pixels(images)).float().softmax(dim=1)
            for images in (batch.blurred, batch.sharp)
        )
        return parsing_measures(made, sharp)

    def _losses(
        self, sharp: Tensor, restored: Restored, labels: Tensor
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each term, for images in [0, 1]; ``labels`` of eleven classes."""
        components = one_hot(labels, CLASSES)[:, COMPONENTS].sum(dim=1, keepdim=True)
        error = (restored.image.float() - sharp).abs() / 2
        half_error = (restored.half.float() - F.avg_pool2d(sharp, 2)).abs() / 2
        parts = {
            "content": (1.0, error.mean() + half_error.mean()),
            "structural": (self.options.lambda_structural, (components * error).mean()),
            "perceptual": (self.options.lambda_perceptual, self._perceptual(restored.image, sharp)),
        }
        if "discriminator" in self.networks:
            discriminator = self.networks["discriminator"]
            with freeze(discriminator):
                adversarial = losses.adversarial_loss(discriminator(restored.image))
            parts["adversarial"] = (self.options.lambda_adversarial, adversarial)
        return parts

    def _perceptual(self, image: Tensor, sharp: Tensor) -> Tensor:
        """Mean squared distance of features, summed over the two layers."""
        prior, values = self.setting.prior, self.options.perceptual_input
        if prior is None:
            raise ValueError(f"{self.name} was built for inference: it has no prior network")
        with torch.no_grad():
            truth = prior.features(sharp, TAPS, values)
        pairs = zip(prior.features(image, TAPS, values), truth, strict=True)
        return torch.stack([(a.float() - b.float()).square().mean() for a, b in pairs]).sum()

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Widths, and what the released demonstration does."""
        state = read_pair(path)

        def length(name: str, axis: int) -> int:
            return axis_length(path, state, name, axis, ACCEPTED)

        ups = [[length(f"net_P({number}).upw", axis) for axis in (2, 3)] for number in range(7, 12)]
        behind = all(outputs == inputs for outputs, inputs in ups)
        return {
            "width": length("net_G(1).w", 3),
            "parsing_width": [length(f"net_P({number}).w", 3) for number in range(1, 7)],
            "parsing_up": "behind" if behind else "transposed",
            "parsing_statistics": "image",
            "pixels": "released",
            "output": "image",
        }

    def load_official(self, path: Path) -> None:
        """Load one released pair of networks; layout: this module's description.

        The widths become the files', whatever the options were.

        Raises:
            UserError: a file is missing, damaged, of another layout or of other options.
        """
        state, found = read_pair(path), self.official_options(path)
        widths = {name: found.pop(name) for name in ("width", "parsing_width", "parsing_up")}
        check_options(path, self, **found)
        options = self.options.model_copy(update=widths)
        generator = Generator(options)
        own = [name for name in generator.state_dict() if "running_" in name]
        found = match_state(
            path,
            generator,
            state,
            NAMES,
            ACCEPTED,
            axes=lambda name: CONVOLUTION if name.endswith((".w", ".upw")) else None,
            own=["steps", *own],
        )
        generator.load_state_dict(found)
        self.options, self.networks["generator"] = options, generator


def read_pair(folder: Path) -> dict[str, Tensor]:
    """Arrays of a folder's two files, as ``net_G(1).w``, with MATLAB's axes.

    Raises:
        UserError: no pair or both, or a file is damaged.
    """
    pairs = [pair for pair in PAIRS if any((folder / name).exists() for name in pair)]
    if len(pairs) > 1:
        raise UserError(f"{folder}: holds both released pairs: keep one; accepted: {ACCEPTED}")
    state: dict[str, Tensor] = {}
    for name in pairs[0] if pairs else PAIRS[0]:
        net = name[:5]
        for number, layer in enumerate(read_structs(folder / name, net, ACCEPTED), start=1):
            state |= {f"{net}({number}).{f}": layer[f] for f in FIELDS if f in layer}
    return state
