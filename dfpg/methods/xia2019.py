"""Xia and Chakrabarti, "Training image estimators without image ground-truth" (NeurIPS 2019).

A deblurring network learns from pairs of blurred measurements of one face, without its sharp
picture. Layer sizes, initialisation and losses are those of the released code. ``load_official``
reads its models, NumPy archives of the TensorFlow variables.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from dfpg.core.config import NOMINAL_SIZES, Frozen, GreyLevels, Weight, Width
from dfpg.core.errors import UserError
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.data.blur.degrade import add_noise, blur
from dfpg.data.blur.kernels import canvas_size
from dfpg.methods.base import Method, Phase, Setting
from dfpg.methods.batch import Batch, PairBatch
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import zero
from dfpg.methods.official import CONVOLUTION, Rule, axis_length, match_state, read_arrays

EPSILON = 1e-8  # of the batch normalisation
GROWTH = 3  # px that a 4x4 transposed convolution of stride 1 adds to a map
ACCEPTED = (
    "a released model, as blind/iter_190000.model.npz (image_size 128, width 64); a TensorFlow "
    "checkpoint is written as one by saveNet of the authors' utils/utils.py"
)
UNUSED = r"kd?conv_"  # the kernel branch, where the variant has none


class Xia2019Options(Frozen):
    """Block ``methods.xia2019`` of params.yaml, overridden by a run's ``options``."""

    variant: Literal["blind", "nonblind", "supervised"]
    width: Width
    init: Literal["released", "identity"]
    statistics_decay: Annotated[
        float, Field(ge=0, lt=1, description="at 1 the average never moves")
    ]
    lambda_swap: Weight
    lambda_self: Weight
    lambda_proxy: Weight
    proxy_noise: GreyLevels


class Estimate(NamedTuple):
    """Output of the generator: image [N, 3, H, W], and kernel [N, K, K] where it was asked for."""

    image: Tensor
    kernel: Tensor | None


class Normalised(nn.Module):
    """Convolution, batch normalisation without an affine part, bias, ReLU.

    Training uses the batch's statistics, evaluation their moving average.
    """

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, decay: float) -> None:
        super().__init__()
        channels = convolution.out_channels
        self.convolution = convolution
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON, momentum=1 - decay, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Non-negative features."""
        return torch.relu(self.norm(self.convolution(x)) + self.bias)


def downsample(inputs: int, outputs: int, decay: float) -> Normalised:
    """Half the resolution."""
    return Normalised(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False), decay)


def upsample(inputs: int, outputs: int, decay: float) -> Normalised:
    """Twice the resolution."""
    layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return Normalised(layer, decay)


class Decoder(nn.Module):
    """From the encoder's last map up to that at ``level``, each step with the encoder's map there.

    Args:
        widths: channels of the encoder's maps, finest first.
        level: index into ``widths`` where to stop.
        decay: of the batch statistics' moving average.
    """

    def __init__(self, widths: list[int], level: int, decay: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        inputs = widths[-1]
        for outputs in reversed(widths[level:-1]):
            self.layers.append(upsample(inputs, outputs, decay))
            inputs = 2 * outputs

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Features [N, 2 widths[level], h, w] from the encoder's maps, finest first."""
        feature = maps[-1]
        for layer, skip in zip(self.layers, reversed(maps[:-1]), strict=False):
            feature = torch.cat([layer(feature), skip], dim=1)
        return feature


class KernelBranch(nn.Module):
    """Estimates the blur kernel from the encoder's maps (26,450,049 parameters at 128 px).

    It climbs to the largest map that the canvas still holds (16 x 16 in 27 x 27) and grows from
    there to the canvas by transposed convolutions of stride 1, at most 3 px each.
    """

    def __init__(self, widths: list[int], canvas: int, decay: float) -> None:
        super().__init__()
        side = 1 << (canvas.bit_length() - 1)
        level = len(widths) - side.bit_length()
        self.climb = Decoder(widths, level, decay)
        self.grow = nn.Sequential()
        inputs, outputs = 2 * widths[level], 2 * widths[0]
        while side < canvas:
            step = min(GROWTH, canvas - side)
            layer = nn.ConvTranspose2d(inputs, outputs, step + 1, bias=False)
            self.grow.append(Normalised(layer, decay))
            inputs, outputs, side = outputs, widths[0], side + step
        self.last = nn.Conv2d(inputs, 1, 1)
        cast(Tensor, self.last.bias).requires_grad_(False)  # it cancels in the softmax

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Kernels float32 [N, K, K], non-negative, of sum 1."""
        logits: Tensor = self.last(self.grow(self.climb(maps))).float().squeeze(1)
        return logits.flatten(1).softmax(dim=1).view_as(logits)


class Generator(nn.Module):
    """U-net down to 1 x 1 whose output is added to its input (41,825,667 parameters at 128 px).

    Args:
        image_size: side of the training images, a power of two.
        width: channels of the first map; they double up to eight times that.
        decay: of the batch statistics' moving average.
        blind: with the kernel branch.
    """

    def __init__(self, image_size: int, width: int, decay: float, blind: bool) -> None:
        super().__init__()
        widths = [width * min(1 << level, 8) for level in range(image_size.bit_length() - 1)]
        pairs = zip([3, *widths], widths, strict=False)
        self.encoder = nn.ModuleList(
            downsample(inputs, outputs, decay) for inputs, outputs in pairs
        )
        self.decoder = Decoder(widths, 0, decay)
        self.last = nn.ConvTranspose2d(2 * width, 3, 4, stride=2, padding=1)
        canvas = canvas_size(max(NOMINAL_SIZES), image_size)
        self.kernel = KernelBranch(widths, canvas, decay) if blind else None

    def forward(self, blurred: Tensor, with_kernel: bool = False) -> Estimate:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of the training images' side.

        Args:
            blurred: the measurement.
            with_kernel: estimate the kernel too; H and W are then the training images' side.
        """
        maps = [(blurred + 1) / 2]  # the network works in [0, 1]
        for layer in self.encoder:
            maps.append(layer(maps[-1]))
        residual = self.last(self.decoder(maps[1:])).float()
        branch = self.kernel if with_kernel else None
        return Estimate(blurred + 2 * residual, branch(maps[1:]) if branch is not None else None)


class Xia2019(Method):
    """Deblurring learned from pairs of measurements.

    Variants: ``blind`` (kernels unknown, those estimated are used), ``nonblind`` (kernels known
    when training), ``supervised`` (L1 to the sharp image: what other methods call objective l1).
    The unsupervised ones never look at the sharp image, and have two measurements of each face, the
    same in every epoch; the supervised one gets new ones.
    """

    Options = Xia2019Options
    options: Xia2019Options
    multiple: int = 128  # type: ignore[misc]  # the image size: an instance has its own
    view: str = "pairs"  # type: ignore[misc]  # an instance may have its own
    gradient_parts: ClassVar = {"encoder": ("encoder",)}
    system = System(
        "Unsupervised pairs",
        "Xia and Chakrabarti, NeurIPS",
        2019,
        weights="no licence stated; read",
    )
    # 190,000 steps; / sqrt(10) from 170,000 on, / 10 from 180,000 on.
    recipe = Recipe(Schedule(shape="step", drops=((17 / 19, 10**-0.5), (18 / 19, 0.1))))
    contract = Contract(
        small={
            "variant": "blind",
            "width": 8,
            "init": "identity",
            "statistics_decay": 0.9,
            "lambda_swap": 1.0,
            "lambda_self": 1.0,
            "lambda_proxy": 1.0,
            "proxy_noise": 2.0,
        },
        full={"width": 64, "init": "released"},
        parameters={"generator": 41_825_667 + 26_450_049, "generator.kernel": 26_450_049},
        l1=None,
        sees_sharp=False,
        falling=("self", "swap"),
    )

    def __init__(self, name: str, options: Xia2019Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        self.multiple = setting.image_size
        if options.variant == "supervised":
            self.view = "fresh_pairs"
        if self.multiple < 8 or self.multiple & (self.multiple - 1):
            raise UserError(
                f"image_size: {self.multiple} does not suit {name}, which halves it down to 1: "
                "give a power of two from 8 on, or leave its run out"
            )
        decay, blind = options.statistics_decay, options.variant == "blind"
        generator = Generator(setting.image_size, options.width, decay, blind)
        initialise_uniform(generator, setting.seed)
        if options.init == "identity":
            zero(generator.last)
        self.networks["generator"] = generator

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        image: Tensor = self.networks["generator"](blurred).image
        return image

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """One step on both measurements.

        They form one batch of 2N, for the batch statistics too (the released code normalises each
        on its own, in batches of 128). A mean over 2N images in [-1, 1] is the released code's sum
        of two means in [0, 1].
        """
        pair = cast(PairBatch, batch)
        measurements = torch.cat([pair.blurred, pair.blurred2])
        kernels = torch.cat([pair.kernels, pair.kernels2])
        options, blind = self.options, self.options.variant == "blind"
        estimate: Estimate = self.networks["generator"](measurements, with_kernel=blind)
        if options.variant == "supervised":
            loss = distance(estimate.image, torch.cat([pair.sharp, pair.sharp]))
            yield Phase.of("generator", {"pixel": (1.0, loss)})
            return
        # The kernel branch learns from the proxy alone.
        own = cast(Tensor, estimate.kernel).detach() if blind else kernels
        other = estimate.image.roll(len(pair.blurred), dims=0)
        parts = {
            "self": (options.lambda_self, distance(blur(estimate.image, own), measurements)),
            "swap": (options.lambda_swap, distance(blur(other, own), measurements)),
        }
        if options.lambda_proxy > 0:
            proxy = self._proxy(estimate.image.detach(), kernels)
            parts |= {name: (options.lambda_proxy, loss) for name, loss in proxy.items()}
        yield Phase.of("generator", parts)

    def mechanisms(self, batch: Batch) -> dict[str, Tensor]:
        """``kernel_error``: squared distance of estimated and true kernel over the latter's square.

        ``kernel_error_gain``: how much less that is than with the mean kernel of the batch.
        """
        if self.options.variant != "blind":
            return {}
        estimate: Estimate = self.networks["generator"](batch.blurred, with_kernel=True)
        true = batch.kernels
        size = true.square().sum(dim=(1, 2))
        error, usual = (
            (kernel - true).square().sum(dim=(1, 2)) / size
            for kernel in (cast(Tensor, estimate.kernel).float(), true.mean(dim=0))
        )
        return {"kernel_error": error, "kernel_error_gain": usual - error}

    def _proxy(self, images: Tensor, kernels: Tensor) -> dict[str, Tensor]:
        """Losses on measurements made of the network's own estimates, whose truth is known.

        Each image gets its neighbour's kernel: one drawn without regard to it (the released code
        draws from its list of kernels). The released code uses the image's part without known
        kernels too.
        """
        blind = self.options.variant == "blind"
        drawn = kernels.roll(1, dims=0)
        noise = torch.randn_like(images)
        measurements = add_noise(blur(images, drawn), noise, self.options.proxy_noise, white=2)
        again: Estimate = self.networks["generator"](measurements, with_kernel=blind)
        losses = {"proxy_image": distance(again.image, images)}
        if again.kernel is not None:
            # Kernels have one scale only: the sum over two measurements is twice the mean.
            losses["proxy_kernel"] = 2 * distance(again.kernel, drawn)
        return losses

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Width and variant; ``supervised`` is the same network as ``nonblind``."""
        state = read_arrays(path, ACCEPTED)
        return {
            "width": axis_length(path, state, "econv_1_w", 3, ACCEPTED),
            "variant": "blind" if "kconv_end_w" in state else "nonblind",
            "init": "released",
        }

    def load_official(self, path: Path) -> None:
        """Load a released model: weights and moving batch statistics.

        Raises:
            UserError: missing, damaged, another layout, or of other options.
        """
        generator = cast(Generator, self.networks["generator"])
        state = read_arrays(path, ACCEPTED)
        found = match_state(
            path,
            generator,
            state,
            names(generator),
            ACCEPTED,
            axes=lambda name: CONVOLUTION if name.endswith("_w") else None,
            ignored=None if generator.kernel else UNUSED,
        )
        generator.load_state_dict(found)


def names(generator: Generator) -> list[Rule]:
    """Our names -> the released variables'; the last ones count on from the layers before them."""
    climbed = len(generator.kernel.climb.layers) if generator.kernel else 0

    def numbered(part: str, first: int) -> Callable[[re.Match[str]], str]:
        return lambda found: f"{part}_{int(found[1]) + first}"

    return [
        (r"^encoder\.(\d+)", numbered("econv", 1)),
        (r"^decoder\.layers\.(\d+)", numbered("dconv", 1)),
        (r"^last", f"dconv_{len(generator.decoder.layers) + 1}"),
        (r"^kernel\.climb\.layers\.(\d+)", numbered("kconv", 1)),
        (r"^kernel\.grow\.(\d+)", numbered("kdconv", climbed + 1)),
        (r"^kernel\.last", "kconv_end"),
        (r"(\.convolution)?\.weight$", "_w"),
        (r"\.bias$", "_b"),
        (r"\.norm\.running_mean$", "_mu"),
        (r"\.norm\.running_var$", "_var"),
    ]


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (one - other).abs().mean()


def initialise_uniform(network: nn.Module, seed: int) -> None:
    """Uniform weights of variance 1 / fan-in, zero biases.

    The fan-in of a transposed convolution is its inputs times the whole kernel, as in the released
    code. Each layer draws from a stream named by its own name.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            stream = torch.Generator().manual_seed(derive_seed(seed, "init", name))
            bound = math.sqrt(3 / (layer.in_channels * math.prod(layer.kernel_size)))
            nn.init.uniform_(layer.weight, -bound, bound, generator=stream)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
