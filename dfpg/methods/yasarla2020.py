"""UMSN, semantic multi-stream face deblurring (Yasarla, Perazzi and Patel, TIP 2020).

Paper: "Deblurring Face Images using Uncertainty Guided Multi-Stream Semantic Networks". Layers,
losses and optimiser are those of the released code (rajeevyasarla/UMSN-Face-Deblurring), which
steps its optimiser on every second batch only and throws the other gradients away; here every
batch is used. ``load_official`` reads a folder with its two files: ``Deblur_epoch_Best.pth``, the
deblurring networks, and ``SMaps_Best.pth``, the segmentation net. The released test script leaves
the segmentation net in its training mode and restores one image at a time, so that its batch
normalisation uses that image's own statistics: ``segmentation_statistics: image``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, cast

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Frozen, Share, Steps, Weight, Width
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.data.blur.degrade import blur
from dfpg.methods.base import Method, Phase, PriorInput, Setting
from dfpg.methods.batch import Batch, LabelledBatch
from dfpg.methods.blocks import SLOPE, ImageNorm
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import initialise, zero
from dfpg.methods.losses import perceptual_loss, pixel_loss
from dfpg.methods.measures import parsing_measures
from dfpg.methods.official import Rule, axis_length, check_options, match_state, read_state
from dfpg.pretrained.parsing import one_hot, to_four

COLOURS = 3
CLASSES = 4  # background, skin, hair, inner parts
REFINED = 8  # channels of the last two convolutions, whatever the width
# Released code; hair and inner parts are in another order there.
CLASS_WEIGHTS = (1.2, 1.2, 1.2, 3.6)
IMAGE_WEIGHT = 2.0  # of everything but the segmentation
HALF_WEIGHT = 0.33  # of terms on the image of half the size
GRADIENT_WEIGHT, GRADIENT_HALF_WEIGHT = 0.15, 0.08  # per direction
SEGMENTATION_WEIGHT, SEGMENTATION_HALF_WEIGHT = 3.2, 0.5
FULL_TAPS, HALF_TAPS = ("relu1_2", "relu2_2", "relu5_3"), ("relu1_2", "relu2_2")
LABEL_THRESHOLD = 0.49  # of blurred class maps
BETAS, WEIGHT_DECAY = (0.5, 0.999), 5e-5

DEBLURRING, SEGMENTATION = "Deblur_epoch_Best.pth", "SMaps_Best.pth"
ACCEPTED = (
    f"a folder with the released {DEBLURRING} and {SEGMENTATION} (width and segmentation_width "
    "64, output tanh, segmentation_statistics image)"
)
SIDES = ("51", "41", "3_21", "3_11", "31", "21", "11")
# Our names -> the released code's: first the blocks', then those of the layers in them.
BLOCKS: tuple[Rule, ...] = (
    (r"^block3\.3\.", "block4."),
    (r"^block3\.([12])\.", r"block3_\1."),
    (r"^block3\.0\.(?=\d)", "block3."),
    (r"^merge\.", "dense_block_cl."),
    (r"\b(block\w+)\.1\.2\.", r"trans_\1.conv1."),
    (r"\b(block\w+)\.0\.", r"dense_\1."),
    (r"\bblock5\.", "dense_block5."),
    (r"^up\.2\.", "trans_block5.conv1."),
    (r"^up\.4\.", "trans_block5.conv2."),
    (r"^sides\.convs\.(\d)", lambda found: f"conv{SIDES[int(found[1])]}"),
    (r"\.shortcut\.", ".conv_o."),
    (r"\.body\.2\.", ".conv1."),
    (r"\.body\.5\.", ".conv2."),
)
DEBLURRING_NAMES: tuple[Rule, ...] = (
    (r"^streams\.(\d)", lambda found: f"deblur_class{int(found[1]) + 1}"),
    *BLOCKS,
    (r"(?<=^dense_block_cl)\.body\.8\.", ".conv4."),
    (r"\.body\.8\.", ".conv3."),
    (r"^(dense_block(?:3\w*|4)|deblur_class\d\.dense_block[235])\.body\.11\.", r"\1.sharewconv."),
    (r"\.body\.1[12]\.", ".conv4."),
    (r"^of_half_features\.", "conv_refin64."),
    (r"^of_half\.", "conv_refin_in64."),
    (r"^of_features\.", "conv_refin."),
    (r"^of_image\.", "conv_refin_in."),
    (r"^to_rgb\.", "refine3."),
    (r"^refine\.first\.", "refineclean1."),
    (r"^refine\.last\.", "refineclean2."),
)
SEGMENTATION_NAMES: tuple[Rule, ...] = (
    *BLOCKS,
    (r"(?<=^dense_block[16])\.body\.8\.", ".conv3."),
    (r"\.body\.8\.", ".sharewconv2."),
    (r"\.body\.(?:9|11)\.", ".conv4."),
    (r"\.body\.0\.", ".bn1."),
    (r"\.body\.3\.", ".bn2."),
    (r"\.body\.6\.", ".bn4."),
    (r"^half_head\.0\.", "conv_refin64."),
    (r"^half_head\.2\.", "refine3_i."),
    (r"^head\.0\.", "conv_refin."),
    (r"^head\.2\.", "refine3."),
)
# Tensors that the released classes never use in restoring: the streams' own images, the confidence
# net, and layers that no forward pass reaches.
DEBLURRING_UNUSED = (
    r"(deblur_class\d\.)?conv10\d0\.|conf_ker\."
    r"|deblur_class\d\.(dense_block6|trans_block6|conv_refin(_in)?|refine3|refineclean[12])\."
)
SEGMENTATION_UNUSED = r".*\.sharewconv1\.|refineclean[12]\.|batchnorm(1|20)\."

Channels = Annotated[Width, Field(ge=12, multiple_of=4)]


class Yasarla2020Options(Frozen):
    """Block ``methods.yasarla2020`` of params.yaml, overridden by a run's ``options``."""

    width: Channels
    segmentation_width: Channels
    segmentation_steps: Steps
    segmentation_sharp: Share
    segmentation_blurred: Share
    stream_steps: Steps
    objective: Literal["native", "l1"]
    init: Literal["released", "identity"]
    output: Literal["tanh", "linear"]
    lambda_confidence: Weight
    lambda_perceptual: Weight
    perceptual_input: PriorInput
    confidence_reuse: bool
    segmentation_statistics: Literal["moving", "image"]

    @field_validator("output")
    @classmethod
    def _identity_needs_linear_output(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("init") == "identity" and value == "tanh":
            raise ValueError("init identity needs output linear: tanh cannot return its input")
        return value


class InstanceNorm(nn.GroupNorm):
    """Instance normalisation, without parameters: groups of one channel each.

    PyTorch's own makes a batch normalisation of it, which takes two to six times as long on a CPU.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, affine=False)


class ShareSep(nn.Module):
    """One 3x3 kernel for every channel, at first the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 3, 3))
        with torch.no_grad():
            self.weight[..., 1, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        """[N, n, H, W] -> same shape."""
        channels = x.shape[1]
        return F.conv2d(x, self.weight.expand(channels, 1, 3, 3), padding=1, groups=channels)


class Dense(nn.Module):
    """Dense block: norm-ReLU-conv several times, 1x1 first, then 3x3; without biases.

    Args:
        inputs: channels in.
        outputs: channels of the last convolution.
        dilations: of the 3x3 convolutions.
        growth: inner channels per output channel.
        share: a :class:`ShareSep` before the last convolution.
        norm: kind of normalisation.
        shortcut: add a 1x1 convolution of the input.
        concat: return the input too, in front.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        dilations: tuple[int, ...],
        growth: int = 3,
        share: bool = False,
        norm: type[nn.Module] = InstanceNorm,
        shortcut: bool = True,
        concat: bool = True,
    ) -> None:
        super().__init__()
        inner = growth * outputs
        channels = (inputs, *(inner for _ in dilations))
        layers: list[nn.Module] = [norm(inputs), nn.ReLU(), nn.Conv2d(inputs, inner, 1, bias=False)]
        for number, (n, d) in enumerate(zip(channels[1:], dilations, strict=True), start=1):
            last = number == len(dilations)
            layers += [norm(n), nn.ReLU(), *([ShareSep()] if share and last else [])]
            width = outputs if last else inner
            layers.append(nn.Conv2d(n, width, 3, padding=d, dilation=d, bias=False))
        self.body = nn.Sequential(*layers)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if shortcut else None
        self.concat = concat

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] -> [N, outputs (+ inputs if ``concat``), H, W]."""
        out: Tensor = self.body(x)
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return torch.cat([x, out], 1) if self.concat else out


def plain_block(inputs: int, outputs: int) -> Dense:
    """The code's "rs" block."""
    return Dense(inputs, outputs, (1, 1, 1))


def wide_block(inputs: int, outputs: int) -> Dense:
    """The code's "rs1" block."""
    return Dense(inputs, outputs, (1, 2, 1))


def dilated_block(inputs: int, outputs: int) -> Dense:
    """The code's "dl" block."""
    return Dense(inputs, outputs, (1, 2, 2), share=True)


def parsing_block(inputs: int, outputs: int, norm: type[nn.Module]) -> Dense:
    """The code's "dls" block."""
    return Dense(inputs, outputs, (2, 2), growth=4, share=True, norm=norm)


def transition(inputs: int, outputs: int, *after: nn.Module) -> nn.Sequential:
    """norm-ReLU-conv1x1, then a change of size if any."""
    conv = nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(InstanceNorm(inputs), nn.ReLU(), conv, *after)


def halve(inputs: int, outputs: int) -> nn.Sequential:
    """Transition to half the size."""
    return transition(inputs, outputs, nn.AvgPool2d(2))


def double(inputs: int, outputs: int) -> nn.Sequential:
    """Transition to twice the size, by repetition."""
    return transition(inputs, outputs, nn.Upsample(scale_factor=2, mode="nearest"))


def double_bilinear(inputs: int, outputs: int) -> nn.Sequential:
    """Transition to twice the size, bilinear (corners aligned), then a 3x3 convolution."""
    up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return transition(inputs, outputs, up, nn.Conv2d(outputs, outputs, 3, padding=1, bias=False))


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    """Convolution with bias that keeps the image's size."""
    return nn.Conv2d(inputs, outputs, size, padding=size // 2)


def subsample(images: Tensor) -> Tensor:
    """[N, n, H, W] -> [N, n, H/2, W/2]: every second pixel, as the released code."""
    return images[..., ::2, ::2]


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU."""
    return F.leaky_relu(x, SLOPE)


class Refine(nn.Module):
    """The last two convolutions, from a clean image to the final one."""

    def __init__(self, bounded: bool) -> None:
        super().__init__()
        self.first = conv(COLOURS, REFINED, 7)
        self.last = conv(REFINED, COLOURS)
        self.bounded = bounded

    def forward(self, image: Tensor) -> Tensor:
        """[N, 3, H, W] -> same shape."""
        out: Tensor = self.last(leaky_relu(self.first(image)))
        return torch.tanh(out) if self.bounded else out

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Pass x as LReLU(x) - LReLU(-x) = (1 + slope) x; two spare channels start unused."""
        zero(self.last)
        self.first.weight[: 2 * COLOURS] = 0
        nn.init.zeros_(cast(Tensor, self.first.bias))
        for c in range(COLOURS):
            for place, sign in ((c, 1.0), (c + COLOURS, -1.0)):
                self.first.weight[place, c, 3, 3] = sign
                self.last.weight[c, place, 1, 1] = sign / (1 + SLOPE)


class SideMaps(nn.Module):
    """One channel from each of seven features, brought to the image's size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(conv(channels, 1) for _ in range(7))

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Seven [N, channels, h, w] -> [N, 7, H, W]."""
        maps = [leaky_relu(c(x)) for c, x in zip(self.convs, features, strict=True)]
        return torch.cat([F.interpolate(x, size=size, mode="nearest") for x in maps], 1)


class Segmentation(nn.Module):
    """Class maps from an image: four logits per pixel, at full and half size."""

    def __init__(self, width: int, own_statistics: bool = False) -> None:
        super().__init__()
        w, thin = width, width // 4
        norm = ImageNorm if own_statistics else nn.BatchNorm2d
        self.block1 = nn.Sequential(wide_block(COLOURS, w - COLOURS), halve(w, w))
        self.block2 = nn.Sequential(parsing_block(w + COLOURS, w, norm), halve(2 * w + COLOURS, w))
        self.block3 = nn.ModuleList(
            nn.Sequential(parsing_block(w, w, norm), transition(2 * w, w)) for _ in range(3)
        )
        self.block4 = nn.Sequential(parsing_block(2 * w, w, norm), double(3 * w, w))
        self.block5 = parsing_block(2 * w, w, norm)
        self.half_head = nn.Sequential(conv(3 * w, thin), nn.LeakyReLU(SLOPE), conv(thin, CLASSES))
        self.up = double(3 * w + CLASSES, w)
        self.block6 = nn.Sequential(wide_block(w, w), transition(2 * w, thin))
        self.sides = SideMaps(w)
        self.head = nn.Sequential(conv(thin + 7, thin), nn.LeakyReLU(SLOPE), conv(thin, CLASSES))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[N, 3, H, W] in [-1, 1] -> logits [N, 4, H, W] and [N, 4, H/2, W/2]."""
        x1 = self.block1(image)
        x2 = self.block2(torch.cat([x1, subsample(image)], 1))
        x3 = [x2]
        for block in self.block3:
            x3.append(block(x3[-1]))
        x4 = self.block4(torch.cat([x3[-1], x2], 1))
        inner = self.block5(torch.cat([x4, x1], 1))
        small: Tensor = self.half_head(inner)
        x5 = self.up(torch.cat([inner, small.sigmoid()], 1))
        sides = self.sides([x5, x4, *reversed(x3), x1], (image.shape[-2], image.shape[-1]))
        logits: Tensor = self.head(torch.cat([self.block6(x5), sides], 1))
        return logits, small


class Stream(nn.Module):
    """Features of one semantic class, at half the image's size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        n, inputs = width // 4, COLOURS + 1
        self.block1 = nn.Sequential(plain_block(inputs, 2 * n - inputs), halve(2 * n, n))
        self.block2 = nn.Sequential(dilated_block(n, n), transition(2 * n, n))
        self.block3 = nn.Sequential(dilated_block(n, n), transition(2 * n, n))
        self.block5 = nn.Sequential(dilated_block(2 * n, n), transition(3 * n, n))

    def forward(self, image: Tensor) -> Tensor:
        """Image and class map [N, 4, H, W] -> [N, width / 4, H/2, W/2]."""
        x1 = self.block1(image)
        x3 = self.block3(self.block2(x1))
        out: Tensor = self.block5(torch.cat([x3, x1], 1))
        return out


class StreamOutput(nn.Module):
    """An image from a stream's features, for training the stream; the main net takes none of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        n = width // 4
        self.block6 = nn.Sequential(plain_block(n, n), double_bilinear(2 * n, n))
        self.of_image, self.of_features = conv(COLOURS + 1, n), conv(n, n)
        self.to_rgb = conv(n, COLOURS)
        self.refine = Refine(bounded=True)

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Image and class map [N, 4, H, W], features -> clean [N, 3, H, W]."""
        x = leaky_relu(self.of_image(image)) - leaky_relu(self.of_features(self.block6(features)))
        out: Tensor = self.refine(image[:, :COLOURS] - torch.tanh(self.to_rgb(x)))
        return out


class Confidence(nn.Module):
    """Confidence per image and colour that a class is restored well, in (0, 1).

    The released code runs its second block twice and never its third: ``reuse``.
    """

    def __init__(self, width: int, reuse: bool) -> None:
        super().__init__()
        n = width // 4
        self.first = nn.Sequential(conv(2 * COLOURS, n), halve(n, n))
        self.order = (0, 1, 1) if reuse else (0, 1, 2)
        self.blocks = nn.ModuleList(
            Dense(n, 2 * n, (1, 1), shortcut=False, concat=False) for _ in set(self.order)
        )
        self.transitions = nn.ModuleList([halve(2 * n, n), halve(2 * n, n), transition(2 * n, n)])
        self.last = conv(n, COLOURS, 1)

    def forward(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """Masked images [N, 3, H, W] -> [N, 3, 1, 1]."""
        x = self.first(torch.cat([restored, sharp], 1))
        for number, after in zip(self.order, self.transitions, strict=True):
            x = after(self.blocks[number](x))
        out: Tensor = self.last(x.mean((2, 3), keepdim=True).sigmoid())
        return out.float().sigmoid()


class Auxiliary(nn.Module):
    """What only training needs: the streams' own images and the confidence net."""

    def __init__(self, width: int, confidence_reuse: bool) -> None:
        super().__init__()
        self.outputs = nn.ModuleList(StreamOutput(width) for _ in range(CLASSES))
        self.confidence = Confidence(width, confidence_reuse)


class Restored(NamedTuple):
    """Output of the generator.

    ``inputs`` are image and class map of each stream, ``streams`` its features.
    """

    image: Tensor
    half: Tensor
    inputs: list[Tensor]
    streams: list[Tensor]


class Generator(nn.Module):
    """Segmentation net, four class streams and main net.

    The class maps come from the blurred image, in training and at test time, and give no gradient.
    """

    steps: Tensor

    def __init__(
        self, width: int, segmentation_width: int, bounded: bool, own_statistics: bool = False
    ) -> None:
        super().__init__()
        w, mid, thin = width, width // 2, width // 4
        inputs = COLOURS + CLASSES
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))  # training steps taken
        self.segmentation = Segmentation(segmentation_width, own_statistics)
        self.streams = nn.ModuleList(Stream(width) for _ in range(CLASSES))
        self.merge = Dense(CLASSES * thin, mid, (1, 1), concat=False)
        self.block1 = nn.Sequential(plain_block(inputs, w - inputs), halve(w, mid))
        self.block2 = nn.Sequential(wide_block(w + COLOURS, w), transition(2 * w + COLOURS, w))
        self.block3 = nn.ModuleList(
            nn.Sequential(dilated_block(w, w), transition(2 * w, w)) for _ in range(4)
        )
        self.block5 = wide_block(2 * w, w)
        self.of_half, self.of_half_features = conv(COLOURS, thin), conv(3 * w, thin)
        self.up = double_bilinear(3 * w + COLOURS, w)
        self.block6 = nn.Sequential(plain_block(w + inputs, w), transition(2 * w + inputs, thin))
        self.sides = SideMaps(w)
        self.of_image, self.of_features = conv(inputs, thin), conv(thin + 7, thin)
        self.to_rgb = conv(thin, COLOURS)  # of both sizes
        self.refine = Refine(bounded)

    def forward(self, blurred: Tensor) -> Restored:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of 4."""
        maps = self.class_maps(blurred).to(blurred.dtype)
        small = subsample(blurred)
        inputs = [torch.cat([blurred, maps[:, c : c + 1]], 1) for c in range(CLASSES)]
        streams = [stream(x) for stream, x in zip(self.streams, inputs, strict=True)]
        classes = self.merge(torch.cat(streams, 1))
        image = torch.cat([blurred, maps], 1)
        x1 = self.block1(image)
        x3 = [self.block2(torch.cat([x1, small, classes], 1))]
        for block in self.block3:
            x3.append(block(x3[-1]))
        inner = self.block5(torch.cat([x3[-1], x1, classes], 1))
        x = leaky_relu(self.of_half(small)) - leaky_relu(self.of_half_features(inner))
        residual = torch.tanh(self.to_rgb(x))
        clean_half = self.refine(small - residual)
        x5 = self.up(torch.cat([inner, residual], 1))
        x6 = self.block6(torch.cat([x5, image], 1))
        size = (blurred.shape[-2], blurred.shape[-1])
        sides = self.sides([x5, *reversed(x3), torch.cat([x1, classes], 1)], size)
        x = leaky_relu(self.of_image(image)) - leaky_relu(
            self.of_features(torch.cat([x6, sides], 1))
        )
        clean = self.refine(blurred - torch.tanh(self.to_rgb(x)))
        return Restored(clean, clean_half, inputs, streams)

    @torch.no_grad()
    def class_maps(self, images: Tensor) -> Tensor:
        """Probabilities [N, 4, H, W] of the classes, each on its own."""
        logits: Tensor = self.segmentation(images)[0]
        return logits.sigmoid()

    def deblurring(self) -> Iterator[nn.Parameter]:
        """All parameters but those of the segmentation."""
        for name, parameter in self.named_parameters():
            if not name.startswith("segmentation."):
                yield parameter

    def start_as_identity(self) -> None:
        """Make the untrained network return its input (needs an output without tanh)."""
        zero(self.to_rgb)
        self.refine.start_as_identity()


class Yasarla2020(Method):
    """UMSN: networks, losses and their order in one run.

    The first ``segmentation_steps`` steps train the segmentation net, sharp images first, then
    some blurred ones; it is frozen afterwards. In the next ``stream_steps`` steps each stream also
    restores the image on its own (the released code alternates between whole epochs of this and
    of the main loss at first). ``objective: l1`` is the plain L1 distance of the output, behind
    the same segmentation steps.
    """

    Options = Yasarla2020Options
    options: Yasarla2020Options
    multiple = 4
    view: ClassVar[str] = "labelled"
    gradient_parts: ClassVar = {"encoder": ("block1", "block2")}
    system = System("UMSN", "Yasarla et al., TIP", 2020, weights="MIT; read")
    # Halved every 19 epochs, of 60 (assumed); the code also takes 1/400 off per epoch.
    recipe = Recipe(
        Schedule(shape="step", drops=((19 / 60, 0.5), (38 / 60, 0.25), (57 / 60, 0.125)))
    )
    contract = Contract(
        small={
            "width": 12,
            "segmentation_width": 12,
            "segmentation_steps": 1,
            "segmentation_sharp": 0.5,
            "segmentation_blurred": 0.34,
            "stream_steps": 2,
            "objective": "native",
            "init": "identity",
            "output": "linear",
            "lambda_confidence": 0.06,
            "lambda_perceptual": 1.8e-4,
            "perceptual_input": "authors",
            "confidence_reuse": False,
            "segmentation_statistics": "moving",
        },
        full={"width": 64, "segmentation_width": 64, "init": "released", "output": "tanh"},
        parameters={
            "generator": 13_811_338,
            "generator.segmentation": 6_190_364,
            "auxiliary": 567_003,
        },
        l1={"objective": "l1", "segmentation_steps": 0},
        lr=3e-3,
    )

    def __init__(self, name: str, options: Yasarla2020Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        bounded = options.output == "tanh"
        own_statistics = options.segmentation_statistics == "image"
        generator = Generator(options.width, options.segmentation_width, bounded, own_statistics)
        self.networks["generator"] = generator
        if self.needs_prior(options) and setting.prior is not None:
            self.networks["auxiliary"] = Auxiliary(options.width, options.confidence_reuse)
        for network in self.networks.values():
            if options.init == "identity":
                initialise(network, setting.seed, scale=1.0)
            else:
                initialise_as_released(network, setting.seed)
        if options.init == "identity":
            generator.start_as_identity()

    @classmethod
    def needs_prior(cls, options: Yasarla2020Options) -> bool:
        """Its own objective has a perceptual loss."""
        return options.objective == "native"

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:
        """Adam of the released code, one for the segmentation and one for all the rest."""
        del lr_discriminator
        generator = cast(Generator, self.networks["generator"])
        deblurring = list(generator.deblurring())
        if "auxiliary" in self.networks:
            deblurring += self.networks["auxiliary"].parameters()
        segmentation = list(generator.segmentation.parameters())
        return {
            name: torch.optim.Adam(
                parameters, lr=lr, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
            )
            for name, parameters in (("segmentation", segmentation), ("generator", deblurring))
        }

    def to(self, device: torch.device) -> Self:
        """As every method, but not channels_last: instance normalisation would undo it each time.

        Measured on a CPU, a training step takes 1.5 times as long with it.
        """
        super().to(device)
        for network in self.networks.values():
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return self

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        image: Tensor = self.networks["generator"](blurred).image
        return image

    def mechanisms(self, batch: Batch) -> dict[str, Tensor]:
        """How well the class maps of blurred faces are those of the sharp ones."""
        generator = cast(Generator, self.networks["generator"])
        made, sharp = (
            generator.class_maps(images).float() for images in (batch.blurred, batch.sharp)
        )
        return parsing_measures(made, sharp)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One phase: the segmentation's, later the deblurring networks'."""
        generator = cast(Generator, self.networks["generator"])
        step = int(generator.steps)
        generator.steps += 1
        if step < self.options.segmentation_steps:
            generator.segmentation.train()
            yield self._segmentation_phase(generator, cast(LabelledBatch, batch), step)
            return
        generator.segmentation.eval()
        restored: Restored = generator(batch.blurred)
        if self.options.objective == "l1":
            loss = pixel_loss(restored.image, batch.sharp)
            yield Phase.of("generator", {"pixel": (1.0, loss)})
            return
        masks = generator.class_maps(batch.sharp).float()
        parts = self._losses(batch.sharp, restored, masks)
        if step < self.options.segmentation_steps + self.options.stream_steps:
            parts["streams"] = self._stream_loss(batch.sharp, restored)
        yield Phase.of("generator", {name: (IMAGE_WEIGHT, loss) for name, loss in parts.items()})

    def _segmentation_phase(self, generator: Generator, batch: LabelledBatch, step: int) -> Phase:
        """Cross entropy of the class maps; blurred images get blurred, thresholded class maps."""
        images, maps = batch.sharp, one_hot(to_four(batch.labels), CLASSES)
        if step >= self.options.segmentation_sharp * self.options.segmentation_steps:
            stream = torch.Generator().manual_seed(
                derive_seed(self.setting.seed, "segmentation", step)
            )
            if torch.rand((), generator=stream).item() < self.options.segmentation_blurred:
                images = batch.blurred
                maps = (blur(maps, batch.kernels) > LABEL_THRESHOLD).to(maps.dtype)
        full, small = generator.segmentation(images)
        loss = F.binary_cross_entropy_with_logits(full.float(), maps)
        small_loss = F.binary_cross_entropy_with_logits(small.float(), subsample(maps))
        total = SEGMENTATION_WEIGHT * (loss + SEGMENTATION_HALF_WEIGHT * small_loss)
        return Phase("segmentation", total, {"segmentation": loss.detach()})

    def _losses(self, sharp: Tensor, restored: Restored, masks: Tensor) -> dict[str, Tensor]:
        """Weighted terms; ``masks`` [N, 4, H, W] are the class maps of the sharp image."""
        image, small, target = restored.image.float(), restored.half.float(), subsample(sharp)
        # Normalisation is per image: one pass over all classes is one pass each.
        masked_pairs = [(mask * image, mask * sharp) for mask in masks.chunk(CLASSES, dim=1)]
        auxiliary = cast(Auxiliary, self.networks["auxiliary"])
        mine, true = (torch.cat(images) for images in zip(*masked_pairs, strict=True))
        confidence = auxiliary.confidence(mine, true)
        content = [
            weight * (sure * (mine - true)).abs().mean()
            for weight, sure, (mine, true) in zip(
                CLASS_WEIGHTS, confidence.chunk(CLASSES), masked_pairs, strict=True
            )
        ]
        gradient = GRADIENT_WEIGHT * gradient_loss(image, sharp)
        gradient = gradient + GRADIENT_HALF_WEIGHT * gradient_loss(small, target)
        return {
            "content": torch.stack(content).sum(),
            "half": HALF_WEIGHT * pixel_loss(small, target),
            "confidence": -self.options.lambda_confidence * confidence.log().mean(),
            "gradient": gradient,
            "perceptual": self.options.lambda_perceptual * self._perceptual(restored, sharp),
        }

    def _stream_loss(self, sharp: Tensor, restored: Restored) -> Tensor:
        outputs = cast(Auxiliary, self.networks["auxiliary"]).outputs
        streams = zip(CLASS_WEIGHTS, outputs, restored.inputs, restored.streams, strict=True)
        losses = [w * pixel_loss(output(x, f), sharp) for w, output, x, f in streams]
        return torch.stack(losses).sum()

    def _perceptual(self, restored: Restored, sharp: Tensor) -> Tensor:
        prior, values = self.setting.prior, self.options.perceptual_input
        if prior is None:
            raise ValueError(f"{self.name} was built for inference: it has no prior network")
        with torch.no_grad():
            truth = prior.features(sharp, FULL_TAPS, values)
            small_truth = prior.features(subsample(sharp), HALF_TAPS, values)
        loss = perceptual_loss(prior.features(restored.image, FULL_TAPS, values), truth)
        small = prior.features(restored.half, HALF_TAPS, values)
        return loss + HALF_WEIGHT * perceptual_loss(small, small_truth)

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Both widths; the rest is what the released test script does."""
        widths = [
            4 * axis_length(file, read_state(file, ACCEPTED), "conv_refin64.weight", 0, ACCEPTED)
            for file in (path / DEBLURRING, path / SEGMENTATION)
        ]
        return {
            "width": widths[0],
            "segmentation_width": widths[1],
            "init": "released",
            "output": "tanh",
            "segmentation_statistics": "image",
        }

    def load_official(self, path: Path) -> None:
        """Load the released weights; layout: this module's description.

        Raises:
            UserError: a file is missing, damaged, of another layout or of other options.
        """
        generator = cast(Generator, self.networks["generator"])
        files = path / DEBLURRING, path / SEGMENTATION
        states = [read_state(file, ACCEPTED) for file in files]
        check_options(path, self, output="tanh", segmentation_statistics="image")
        inner = {f"segmentation.{name}" for name in generator.segmentation.state_dict()}
        found = match_state(
            files[0],
            generator,
            states[0],
            DEBLURRING_NAMES,
            ACCEPTED,
            axes=deblurring_axes,
            ignored=DEBLURRING_UNUSED,
            own={"steps", *inner},
        )
        segmentation = match_state(
            files[1],
            generator.segmentation,
            states[1],
            SEGMENTATION_NAMES,
            ACCEPTED,
            axes=segmentation_axes,
            ignored=SEGMENTATION_UNUSED,
        )
        generator.load_state_dict(found)
        generator.segmentation.load_state_dict(segmentation)


def gradient_loss(restored: Tensor, sharp: Tensor) -> Tensor:
    """L1 distance of the absolute differences between neighbours, in x plus in y."""

    def distance(dim: int) -> Tensor:
        return (restored.diff(dim=dim).abs() - sharp.diff(dim=dim).abs()).abs().mean()

    return distance(3) + distance(2)


def initialise_as_released(network: nn.Module, seed: int) -> None:
    """Normal weights of standard deviation 0.02, drawn layer by layer; biases 0 (assumed)."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            stream = torch.Generator().manual_seed(derive_seed(seed, "init", name))
            nn.init.normal_(layer.weight, 0, 0.02, generator=stream)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def segmentation_axes(name: str) -> tuple[int, ...] | None:
    """All 1x1 convolutions of the released transitions are transposed ones."""
    return (1, 0, 2, 3) if re.search(r"trans_block\w+\.conv1\.weight$", name) else None


def deblurring_axes(name: str) -> tuple[int, ...] | None:
    """As :func:`segmentation_axes`, but for the main net's bilinear transition."""
    return None if name.startswith("trans_block5.") else segmentation_axes(name)
