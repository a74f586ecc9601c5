"""DFDNet: Blind Face Restoration via Deep Multi-scale Component Dictionaries.

Li, Chen, Zhou, Lin, Zuo and Zhang, ECCV 2020. Dictionaries of eyes, nose and mouth at four depths
of a VGG network replace what the degraded picture's features have lost; a decoder with spatial
feature transforms draws the picture.

An approximation: the features are the suite's prior network's (VGG-16, relu2_2 to relu5_3; DFDNet
has VGG-19), at unit root mean square per level; the dictionaries come from K-means in mini-batches
over the training faces of the first ``dictionary_steps`` steps, where DFDNet has them ready before
training; components lie at fixed places of the aligned framing, where DFDNet takes landmarks of
each picture; the decoder's exact layers are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm

from dfpg.core.config import MAX_SIDE, Frozen, Name, PositiveSteps, Share, Weight, Width
from dfpg.core.errors import UserError
from dfpg.core.seeds import derive_seed
from dfpg.data.blur.blind import LI2020
from dfpg.methods import losses
from dfpg.methods.base import Method, Phase, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, System
from dfpg.methods.initialise import freeze, initialise, zero
from dfpg.methods.measures import own_degradation_gain
from dfpg.pretrained.vggface import SHAPES, PriorNetwork

SLOPE = 0.2
TAPS = ("relu2_2", "relu3_3", "relu4_3", "relu5_3")
CHANNELS = (128, 256, 512, 512)
STRIDES = (2, 4, 8, 16)
DILATIONS = (1, 2, 3, 4)
LEAST = 2  # cells: side of the smallest component, below which it has no deviation to match
EPSILON = 1e-5
SMALLEST_SCALE = 8  # px: the discriminators halve three times

Four = Annotated[list[Weight], Field(min_length=4, max_length=4)]
Place = Annotated[list[Share], Field(min_length=3, max_length=3)]


class Li2020Options(Frozen):
    """Block ``methods.li2020`` of params.yaml, overridden by a run's ``options``.

    ``components`` gives each one's centre x, y and side as shares of the picture's side. There are
    as many discriminators, each at half the last one's size, as ``lambda_adversarial`` has weights.
    ``size`` null works at the profile's image size; else pictures are resized to it and back.
    """

    objective: Literal["native", "l1"]
    init: Literal["released", "identity"]
    output: Literal["tanh", "residual"]
    size: (
        Annotated[
            int, Field(ge=16, le=MAX_SIDE, multiple_of=16, description="px: published at 512")
        ]
        | None
    )
    width: Annotated[Width, Field(ge=4)]
    atoms: Width
    dictionary_steps: PositiveSteps
    components: Annotated[dict[Name, Place], Field(min_length=1, max_length=16)]
    discriminator_width: Annotated[Width, Field(ge=4)]
    lambda_pixel: Weight
    lambda_perceptual: Four
    lambda_adversarial: Annotated[list[Weight], Field(min_length=1, max_length=8)]

    @field_validator("output")
    @classmethod
    def _identity_needs_residual(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("init") == "identity" and value == "tanh":
            raise ValueError("init identity needs output residual: tanh cannot return its input")
        return value


class Box(NamedTuple):
    """A component's place in a level's features, in cells."""

    top: int
    left: int
    side: int

    def crop(self, feature: Tensor) -> Tensor:
        """View [N, C, side, side]."""
        return feature[:, :, self.top : self.top + self.side, self.left : self.left + self.side]


def box(place: Sequence[float], cells: int) -> Box:
    """Box of (x, y, side) as shares, in features of ``cells`` x ``cells``; it lies inside them."""
    x, y, share = place
    side = min(cells, max(LEAST, round(share * cells)))
    top, left = (min(max(round(c * cells - side / 2), 0), cells - side) for c in (y, x))
    return Box(top, left, side)


def conv(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    """3x3 convolution that keeps the resolution."""
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def branch(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """conv-LReLU-conv."""
    return nn.Sequential(conv(inputs, hidden), nn.LeakyReLU(SLOPE), conv(hidden, outputs))


class Dictionary(nn.Module):
    """K-means centres of one component at one level: ``atoms`` [K, C, h, h], ``counts`` [K]."""

    atoms: Tensor
    counts: Tensor

    def __init__(self, size: int, channels: int, side: int) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.zeros(size, channels, side, side))
        self.register_buffer("counts", torch.zeros(size, dtype=torch.int64))

    @torch.no_grad()
    def learn(self, regions: Tensor) -> None:
        """One step of K-means in mini-batches (Sculley 2010) on [N, C, h, h].

        The first regions of all become the atoms; each later one moves its nearest atom towards
        itself by one over the number that the atom has got.
        """
        regions, filled = regions.float(), int((self.counts > 0).sum())
        new = regions[: len(self.atoms) - filled]
        self.atoms[filled : filled + len(new)] = new
        self.counts[filled : filled + len(new)] = 1
        rest = regions[len(new) :]
        if len(rest):
            nearest = torch.cdist(rest.flatten(1), self.atoms.flatten(1)).argmin(dim=1)
            for region, index in zip(rest, nearest.tolist(), strict=True):
                self.counts[index] += 1
                self.atoms[index] += (region - self.atoms[index]) / self.counts[index]

    def match(self, region: Tensor) -> Tensor:
        """The atom most like each region, in the region's own statistics (AdaIN).

        Every atom is brought to the region's mean and deviation per channel; the one of largest
        inner product with the region is taken. The means' share of that product is the same for
        all atoms, so that it is left out.
        """
        region = region.float()
        mean = region.mean(dim=(2, 3), keepdim=True)
        deviation = region.std(dim=(2, 3), keepdim=True, correction=0)
        atoms = self.atoms - self.atoms.mean(dim=(2, 3), keepdim=True)
        atoms = atoms / (atoms.square().mean(dim=(2, 3), keepdim=True).sqrt() + EPSILON)
        score = (region * deviation).flatten(1) @ atoms.flatten(1).mT
        best = score.float().masked_fill(self.counts == 0, -torch.inf).argmax(dim=1)
        return atoms[best] * deviation + mean


class Transfer(nn.Module):
    """Dictionary feature transfer of all components at one level.

    From the difference of match and region an attention block (as released: conv-LReLU-conv, whose
    result is not bounded) says how much of the match is added; components that overlap both add.
    """

    def __init__(self, boxes: Sequence[Box], channels: int, atoms: int, width: int) -> None:
        super().__init__()
        self.boxes = boxes
        self.dictionaries = nn.ModuleList(Dictionary(atoms, channels, b.side) for b in boxes)
        self.attention = nn.ModuleList(branch(channels, width, channels) for _ in boxes)

    def learn(self, feature: Tensor) -> None:
        """Show the level's features of sharp pictures to the dictionaries."""
        for place, dictionary in zip(self.boxes, self.dictionaries, strict=True):
            cast(Dictionary, dictionary).learn(place.crop(feature))

    def forward(self, feature: Tensor) -> Tensor:
        """Features [N, C, h, w] with their components completed."""
        out = feature.clone()
        parts = zip(self.boxes, self.dictionaries, self.attention, strict=True)
        for place, dictionary, attention in parts:
            region = place.crop(feature)
            match = cast(Dictionary, dictionary).match(region)
            place.crop(out).add_(match * attention(match - region))
        return out


class Dilated(nn.Module):
    """Sum of a feature and the fusion of four dilated convolutions of it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(conv(inputs, outputs // 4, d) for d in DILATIONS)
        self.fuse = conv(4 * (outputs // 4), outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] to [N, outputs, h, w]."""
        wide = torch.cat([F.leaky_relu(layer(x), SLOPE) for layer in self.branches], dim=1)
        out: Tensor = self.skip(x) + self.fuse(wide)
        return out


class UpBlock(nn.Module):
    """Spatial feature transform by a level's completed features, then twice the resolution.

    As released the scale is what its branch returns, and the shift lies in (0, 1).
    """

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.body = branch(inputs, outputs, outputs)
        self.scale = branch(condition, outputs, outputs)
        self.shift = branch(condition, outputs, outputs)
        self.up = branch(outputs, outputs, outputs)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """[N, inputs, h, w] to [N, outputs, 2 h, 2 w]."""
        x = self.body(x) * self.scale(condition) + torch.sigmoid(self.shift(condition))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        out: Tensor = F.leaky_relu(self.up(x), SLOPE)
        return out


class Generator(nn.Module):
    """Frozen encoder, dictionaries and decoder; ``step`` counts training steps."""

    step: Tensor

    def __init__(self, options: Li2020Options, size: int, seed: int) -> None:
        super().__init__()
        n, self.size, self.residual = options.width, size, options.output == "residual"
        places = list(options.components.values())
        self.transfers = nn.ModuleList(
            Transfer([box(p, size // stride) for p in places], channels, options.atoms, n)
            for stride, channels in zip(STRIDES, CHANNELS, strict=True)
        )
        self.middle = Dilated(CHANNELS[-1], 8 * n)
        outputs = (8 * n, 4 * n, 2 * n, n)
        inputs = (8 * n, *outputs[:-1])
        self.ups = nn.ModuleList(
            UpBlock(a, b, c) for a, b, c in zip(inputs, outputs, CHANNELS[::-1], strict=True)
        )
        self.to_rgb = conv(n, 3)
        initialise(self, seed, scale=1.0)
        if options.init == "identity":
            zero(self.to_rgb)
        normalise_spectra([self.transfers, self.middle, self.ups], seed)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def attach(self, trunk: PriorNetwork) -> None:
        """Take the encoder; after the rest got its initial weights."""
        self.trunk = trunk

    def features(self, image: Tensor) -> list[Tensor]:
        """Features of [N, 3, size, size] at the four levels, root mean square 1 each."""
        return losses.unit_scale(self.trunk.features(image, TAPS))

    def forward(self, blurred: Tensor) -> Tensor:
        """Picture [N, 3, size, size]."""
        image = resize(blurred, (self.size, self.size))
        with torch.no_grad():
            features = self.features(image)
        done = [transfer(x) for transfer, x in zip(self.transfers, features, strict=True)]
        x = self.middle(features[-1])  # as released: before the dictionaries complete it
        for up, condition in zip(self.ups, reversed(done), strict=True):
            x = up(x, condition)
        out: Tensor = self.to_rgb(x)
        return image + out if self.residual else torch.tanh(out)


class Discriminator(nn.Module):
    """Logits of one scale, spectrally normalised; their bias would cancel in the hinge loss."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(inputs, outputs, 4, 2, padding=1), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 1, bias=False))

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W], sides of at least ``SMALLEST_SCALE``, to logits [N, 1, h, w]."""
        out: Tensor = self.layers(image)
        return out.float()


class Li2020(Method):
    """DFDNet on its own degradation: 90 % of the pictures are blurred, 35 % of them by motion."""

    Options = Li2020Options
    options: Li2020Options
    multiple = 1
    encoder: ClassVar[str | None] = "trunk"
    view: ClassVar[str] = "blind_motion"
    system = System(
        "DFDNet", "Li et al., ECCV", 2020, weights="CC BY-NC-SA 4.0; not read: other networks"
    )
    contract = Contract(
        small={
            "objective": "native",
            "init": "identity",
            "output": "residual",
            "size": None,
            "width": 8,
            "atoms": 8,
            "dictionary_steps": 2,
            "components": {
                "left_eye": [0.354, 0.468, 0.179],
                "right_eye": [0.644, 0.469, 0.179],
                "nose": [0.497, 0.643, 0.112],
                "mouth": [0.5, 0.762, 0.246],
            },
            "discriminator_width": 8,
            "lambda_pixel": 100.0,
            "lambda_perceptual": [0.5, 1.0, 2.0, 4.0],
            "lambda_adversarial": [1.0, 1.0],
        },
        full={"width": 64},
        parameters={},
        lr=5e-3,
    )

    def __init__(self, name: str, options: Li2020Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        size = options.size or setting.image_size
        if size % STRIDES[-1]:
            raise UserError(
                f"methods.{name}.size: the picture's side of {size} px is no multiple of "
                f"{STRIDES[-1]}: give one, pictures are then resized to it and back"
            )
        scales = len(options.lambda_adversarial)
        if size >> (scales - 1) < SMALLEST_SCALE:
            raise UserError(
                f"methods.{name}.lambda_adversarial: the last of {scales} discriminators sees "
                f"{size >> (scales - 1)} px, less than {SMALLEST_SCALE}: give fewer weights"
            )
        generator = Generator(options, size, setting.seed)
        prior = setting.prior
        generator.attach(prior if isinstance(prior, PriorNetwork) else random_trunk(setting.seed))
        self.networks["generator"] = generator
        if options.objective == "native" and prior is not None:
            discriminators = nn.ModuleList(
                Discriminator(options.discriminator_width) for _ in options.lambda_adversarial
            )
            initialise(discriminators, setting.seed, scale=1.0)
            normalise_spectra([discriminators], setting.seed)
            self.networks["discriminator"] = discriminators

    @classmethod
    def needs_prior(cls, _options: Li2020Options) -> bool:
        """It is the encoder."""
        return True

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:
        """Adam without the frozen encoder."""
        rates = {"generator": lr, "discriminator": lr_discriminator}
        return {
            name: torch.optim.Adam(
                [p for p in network.parameters() if p.requires_grad], lr=rates[name], fused=True
            )
            for name, network in self.networks.items()
        }

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image of the input's size."""
        height, width = blurred.shape[-2:]
        return resize(self.networks["generator"](blurred), (height, width))

    def mechanisms(self, batch: Batch) -> dict[str, Tensor]:
        """What it gains on faces degraded as in its training."""
        return own_degradation_gain(self, batch.sharp, LI2020)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """At first the dictionaries see the sharp faces; then always D and G."""
        generator = cast(Generator, self.networks["generator"])
        sharp = resize(batch.sharp, (generator.size, generator.size))
        with torch.no_grad():
            truth = generator.features(sharp)
        if int(generator.step) < self.options.dictionary_steps:
            for transfer, feature in zip(generator.transfers, truth, strict=True):
                cast(Transfer, transfer).learn(feature)
        generator.step += 1
        fake = generator(batch.blurred)
        if self.options.objective == "l1":
            loss = losses.pixel_loss(fake, sharp)
            yield Phase.of("generator", {"pixel": (1.0, loss)})
            return
        discriminators = cast(nn.ModuleList, self.networks["discriminator"])
        hinge = torch.stack(
            [
                F.relu(1 - discriminator(real)).mean() + F.relu(1 + discriminator(false)).mean()
                for discriminator, real, false in zip(
                    discriminators,
                    image_pyramid(sharp, discriminators),
                    image_pyramid(fake.detach(), discriminators),
                    strict=True,
                )
            ]
        ).sum()
        yield Phase.of("discriminator", {"d_hinge": (1.0, hinge)})
        with freeze(discriminators):
            scales = zip(
                self.options.lambda_adversarial,
                discriminators,
                image_pyramid(fake, discriminators),
                strict=True,
            )
            adversarial = torch.stack(
                [-w * discriminator(x).mean() for w, discriminator, x in scales]
            ).sum()
        found = generator.features(fake)
        levels = zip(self.options.lambda_perceptual, found, truth, strict=True)
        parts = {
            "pixel": self.options.lambda_pixel * (fake.float() - sharp).square().mean(),
            "perceptual": torch.stack([w * F.mse_loss(a, b) for w, a, b in levels]).sum(),
            "adversarial": adversarial,
        }
        yield Phase.of("generator", {name: (1.0, loss) for name, loss in parts.items()})

    def discriminator_scores(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Mean logits of sharp and restored images, summed over the scales."""
        if "discriminator" not in self.networks:
            return None
        generator = cast(Generator, self.networks["generator"])
        discriminators = cast(nn.ModuleList, self.networks["discriminator"])
        size = (generator.size, generator.size)
        images = (resize(batch.sharp, size), generator(batch.blurred))
        real, fake = (
            torch.stack(
                [
                    discriminator(image).mean(dim=(1, 2, 3))
                    for discriminator, image in zip(
                        discriminators, image_pyramid(whole, discriminators), strict=True
                    )
                ]
            ).sum(dim=0)
            for whole in images
        )
        return real, fake

    def load_official(self, path: Path) -> None:
        """Refuses: no released file of DFDNet fits, as other networks are in it.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{path}: no file of DFDNet's released weights is accepted: its encoder is a VGG-19 "
            "(here VGG-16), its decoder has other layers, its dictionaries hold other features; "
            "train the run, or compare pictures that DFDNet restored as external outputs"
        )


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, antialiased; unchanged where the size fits."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image.float(), size, mode="bicubic", antialias=True)


def image_pyramid(image: Tensor, discriminators: nn.ModuleList) -> list[Tensor]:
    """The picture at full, half, quarter ... size, one for each discriminator."""
    return [F.avg_pool2d(image, 1 << scale) for scale in range(len(discriminators))]


def normalise_spectra(parts: Sequence[nn.Module], seed: int) -> None:
    """Put spectral norm on all convolutions; once, when initialised."""
    with torch.random.fork_rng(devices=[]):  # the first singular vectors are guessed at random
        torch.manual_seed(derive_seed(seed, "init", "spectral"))
        convs = [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d)]
        for layer in convs:
            spectral_norm(layer)


def random_trunk(seed: int) -> PriorNetwork:
    """A prior network of Kaiming-normal weights."""
    stream = torch.Generator().manual_seed(derive_seed(seed, "init", "trunk"))
    state = {}
    for key, shape in SHAPES.items():
        value = torch.zeros(shape)
        if len(shape) == 4:
            nn.init.kaiming_normal_(value, generator=stream)
        state[key] = value
    return PriorNetwork(state)
