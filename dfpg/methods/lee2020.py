"""MSPL-GAN (Lee, Jung and Heo, "Progressive semantic face deblurring", IEEE Access 2020).

Layer sizes, loss weights and the two defects that are options here are those of the released code.
``load_official`` reads the released generator, ``netG_last.pth``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm

from dfpg.core.config import Depth, Frozen, Weight, Width
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods import losses
from dfpg.methods.base import Method, Phase, PriorFeatures, PriorInput, Setting
from dfpg.methods.batch import Batch, LabelledBatch
from dfpg.methods.blocks import SLOPE, ResBlock
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import freeze, initialise, set_orthonormal_ends, zero
from dfpg.methods.official import (
    RES_BLOCK,
    Rule,
    axis_length,
    count_numbers,
    load_one_file,
    read_state,
)
from dfpg.pretrained.parsing import FOUR, one_hot, to_four

STAGES = 4  # skin, hair, inner parts, the whole image
PERCEPTUAL_TAP = "conv3_2"  # before its ReLU (released code)
ACCEPTED = "netG_last.pth of MSPL-GAN (width 128, blocks 2, middle_blocks 4, output tanh)"
NAMES: tuple[Rule, ...] = (  # ours -> the released code's
    (r"^stages\.(\d)", r"net\1"),
    (r"^to_rgb\.(\d)", r"to_rgb\1"),
    *RES_BLOCK,
)

Output = Literal["tanh", "linear"]


class Lee2020Options(Frozen):
    """Block ``methods.lee2020`` of params.yaml, overridden by a run's ``options``."""

    width: Annotated[Width, Field(ge=4)]
    blocks: Depth
    middle_blocks: Depth
    discriminator_width: Width
    init: Literal["released", "identity"]
    output: Output
    objective: Literal["native", "l1"]
    lambda_adversarial: Weight
    lambda_perceptual: Weight
    perceptual_input: PriorInput
    released_detach: bool
    released_double_sigmoid: bool

    @field_validator("output")
    @classmethod
    def _identity_needs_linear_output(cls, value: Output, info: ValidationInfo) -> Output:
        if info.data.get("init") == "identity" and value == "tanh":
            raise ValueError("init identity needs output linear: tanh cannot return its input")
        return value


class UNet(nn.Module):
    """One stage: two levels down and up at constant width, all shortcuts added."""

    def __init__(self, width: int, blocks: int, middle_blocks: int) -> None:
        super().__init__()
        self.en1 = self._blocks(width, blocks)
        self.down1 = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.en2 = self._blocks(width, blocks)
        self.down2 = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.middle = self._blocks(width, middle_blocks)
        self.up1 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.de1 = self._blocks(width, blocks)
        self.up2 = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.de2 = self._blocks(width, blocks)

    @staticmethod
    def _blocks(width: int, count: int) -> nn.Sequential:
        return nn.Sequential(*(ResBlock(width) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        """Features [N, width, H, W] of the same shape, H and W multiples of 4."""
        e1 = self.en1(x)
        e2 = self.en2(self.down1(e1))
        e3 = self.down2(e2)
        d2 = self.de1(self.up1(self.middle(e3) + e3) + e2)
        out: Tensor = self.de2(self.up2(d2) + e1)
        return out


class Generator(nn.Module):
    """Four chained U-nets; an image is read off after each (18,471,308 parameters at width 128)."""

    def __init__(self, width: int, blocks: int, middle_blocks: int, output: Output) -> None:
        super().__init__()
        self.output = output
        self.from_rgb = nn.Conv2d(3, width, 1)
        self.stages = nn.ModuleList(UNet(width, blocks, middle_blocks) for _ in range(STAGES))
        self.to_rgb = nn.ModuleList(nn.Conv2d(width, 3, 1) for _ in range(STAGES))

    def forward(self, blurred: Tensor) -> list[Tensor]:
        """Images of the four stages, the restored one last.

        The first three are trained where their class is (skin, hair, inner parts) and mean nothing
        elsewhere.
        """
        feature = self.from_rgb(blurred)
        images = []
        for stage, to_rgb in zip(self.stages, self.to_rgb, strict=True):
            feature = stage(feature)
            image = to_rgb(feature)
            images.append(torch.tanh(image) if self.output == "tanh" else image)
        return images

    def start_as_identity(self, seed: int) -> None:
        """Make every stage return the input (needs ``output`` linear).

        Residual branches and what comes up from the coarser levels start at zero, so that a U-net
        passes on its input; the 1x1 convolutions at the ends are orthonormal. The hidden units of
        the channel attention start above 0, where their rectifier passes gradients.
        """
        for module in self.modules():
            if isinstance(module, ResBlock):
                zero(module.body[-1])
                nn.init.constant_(cast(Tensor, module.attention.squeeze.bias), 0.1)
            elif isinstance(module, UNet):
                zero(module.up2)
        for to_rgb in self.to_rgb:
            set_orthonormal_ends(self.from_rgb, cast(nn.Conv2d, to_rgb), seed)


class Discriminator(nn.Module):
    """Multi-semantic discriminator: looks at all four images (3,148,544 parameters at width 64).

    A chain of convolutions takes in one image after the other, from the skin to the whole. Every
    convolution has spectral norm and no bias.

    Args:
        width: channels at full resolution.
        double_sigmoid: the released code's last layers, LeakyReLU and a sigmoid, whose output it
            takes for logits; otherwise the last convolution gives the logits.
    """

    def __init__(self, width: int, double_sigmoid: bool) -> None:
        super().__init__()
        n = width
        self.double_sigmoid = double_sigmoid
        self.heads = nn.ModuleList(self._conv(3, n, 3) for _ in range(STAGES))
        self.chain = nn.ModuleList(
            [
                self._conv(n, n, 3),
                self._conv(2 * n, n, 3),
                self._conv(2 * n, n, 3),
                self._conv(2 * n, n, 4),
            ]
        )
        self.tail = nn.Sequential(
            self._conv(n, n, 4, stride=2),
            nn.LeakyReLU(SLOPE),
            self._conv(n, 2 * n, 4, stride=2),
            nn.LeakyReLU(SLOPE),
            self._conv(2 * n, 4 * n, 4, stride=2),
            nn.LeakyReLU(SLOPE),
            self._conv(4 * n, 8 * n, 4),
            nn.LeakyReLU(SLOPE),
            self._conv(8 * n, 1, 4),
        )

    @staticmethod
    def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=1, bias=False)

    def normalise_spectra(self, seed: int) -> None:
        """Put spectral norm on all convolutions; once, when initialised."""
        with torch.random.fork_rng(devices=[]):  # the first singular vectors are guessed at random
            torch.manual_seed(derive_seed(seed, "init", "spectral"))
            for layer in [m for m in self.modules() if isinstance(m, nn.Conv2d)]:
                spectral_norm(layer)

    def forward(self, images: Sequence[Tensor]) -> Tensor:
        """Logits [N, 1, h, w] of four images [N, 3, H, W], high for sharp ones; H, W >= 32."""
        parts = [head(image) for head, image in zip(self.heads, images, strict=True)]
        feature = F.leaky_relu(self.chain[0](parts[0]), SLOPE)
        for part, conv in zip(parts[1:], self.chain[1:], strict=True):
            feature = F.leaky_relu(conv(torch.cat([part, feature], dim=1)), SLOPE)
        logits: Tensor = self.tail(feature)
        return F.leaky_relu(logits, SLOPE).sigmoid() if self.double_sigmoid else logits


class Lee2020(Method):
    """MSPL-GAN: skin, hair and inner parts first, the whole face last.

    At test time it needs no masks. With ``objective: l1`` only the last image is trained.
    """

    Options = Lee2020Options
    options: Lee2020Options
    multiple = 4
    view: ClassVar[str] = "labelled"
    gradient_parts: ClassVar = {
        "encoder": ("from_rgb", *(f"stages.0.{part}" for part in ("en1", "down1", "en2", "down2")))
    }
    system = System("MSPL-GAN", "Lee et al., IEEE Access", 2020, weights="no licence stated; read")
    recipe = Recipe(Schedule(shape="exponential", factor=0.99, times=200))  # x 0.99 per epoch
    contract = Contract(
        small={
            "width": 8,
            "blocks": 1,
            "middle_blocks": 1,
            "discriminator_width": 4,
            "init": "identity",
            "output": "linear",
            "objective": "native",
            "lambda_adversarial": 0.05,
            "lambda_perceptual": 0.05,
            "perceptual_input": "authors",
            "released_detach": False,
            "released_double_sigmoid": False,
        },
        full={
            "width": 128,
            "blocks": 2,
            "middle_blocks": 4,
            "discriminator_width": 64,
            "init": "released",
            "output": "tanh",
        },
        parameters={"generator": 18_471_308, "discriminator": 3_148_544},
        lr=5e-3,
    )

    def __init__(self, name: str, options: Lee2020Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        generator = Generator(options.width, options.blocks, options.middle_blocks, options.output)
        if options.init == "identity":
            initialise(generator, setting.seed, scale=1.0)
            generator.start_as_identity(setting.seed)
        else:
            initialise(generator, setting.seed, scale=0.1)
        self.networks["generator"] = generator
        if options.objective == "native" and setting.prior is not None:
            discriminator = Discriminator(
                options.discriminator_width, options.released_double_sigmoid
            )
            initialise(discriminator, setting.seed, scale=1.0)
            discriminator.normalise_spectra(setting.seed)
            self.networks["discriminator"] = discriminator

    @classmethod
    def needs_prior(cls, options: Lee2020Options) -> bool:
        """The perceptual loss compares the prior network's features."""
        return options.objective == "native"

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        images: list[Tensor] = self.networks["generator"](blurred)
        return images[-1]

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """D, then G; both look at one pass of the generator. L1: G alone."""
        images: list[Tensor] = self.networks["generator"](batch.blurred)
        if self.options.objective == "l1":
            pixel = losses.pixel_loss(images[-1], batch.sharp)
            yield Phase.of("generator", {"pixel": (1.0, pixel)})
            return
        if "discriminator" not in self.networks:
            raise ValueError(f"{self.name} was built for inference: it has no prior network")
        masks = one_hot(to_four(cast(LabelledBatch, batch).labels), len(FOUR))
        truth, restored = mask_images([batch.sharp] * STAGES, masks), mask_images(images, masks)
        discriminator = self.networks["discriminator"]
        # No layer mixes the images of a batch: one pass over both is two passes.
        pairs = zip(truth, restored, strict=True)
        both = [torch.cat([real, fake.detach()]) for real, fake in pairs]
        real, fake = discriminator(both).float().chunk(2)
        figures = {
            "d_real": real.detach().sigmoid().mean(),
            "d_fake": fake.detach().sigmoid().mean(),
        }
        yield Phase("discriminator", losses.discriminator_loss(real, fake) / 2, figures)
        yield Phase.of("generator", self._generator_losses(truth, restored))

    def _generator_losses(
        self, truth: list[Tensor], restored: list[Tensor]
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each term; ``pixel`` is the sum over the stages."""
        pairs = zip(restored, truth, strict=True)
        pixel = torch.stack([losses.pixel_loss(image, goal) for image, goal in pairs]).sum()
        # The released code detaches its outputs from both other terms, so that L1 alone trains it.
        fakes = [x.detach() for x in restored] if self.options.released_detach else restored
        discriminator = self.networks["discriminator"]
        with freeze(discriminator):
            adversarial = losses.adversarial_loss(discriminator(fakes))
        perceptual = self._perceptual(fakes[-1], truth[-1])
        return {
            "pixel": (1.0, pixel),
            "adversarial": (self.options.lambda_adversarial, adversarial),
            "perceptual": (self.options.lambda_perceptual, perceptual),
        }

    def _perceptual(self, restored: Tensor, sharp: Tensor) -> Tensor:
        prior, values = cast(PriorFeatures, self.setting.prior), self.options.perceptual_input
        with torch.no_grad():
            truth = prior.features(sharp, [PERCEPTUAL_TAP], values)
        return losses.perceptual_loss(prior.features(restored, [PERCEPTUAL_TAP], values), truth)

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Width and numbers of blocks; the start is that of an output with tanh."""
        state = read_state(path, ACCEPTED)
        return {
            "width": axis_length(path, state, "from_rgb.weight", 0, ACCEPTED),
            "blocks": count_numbers(state, r"net0\.en1\.(\d+)\."),
            "middle_blocks": count_numbers(state, r"net0\.middle\.(\d+)\."),
            "init": "released",
            "output": "tanh",
        }

    def load_official(self, path: Path) -> None:
        """Load the released generator: a PyTorch state dict with its code's names.

        Raises:
            UserError: missing, damaged, another layout, or of other options.
        """
        load_one_file(self, path, NAMES, ACCEPTED, output="tanh")


def mask_images(images: Sequence[Tensor], masks: Tensor) -> list[Tensor]:
    """The first three images where their class is, grey (0) elsewhere; the last as it is, float32.

    Args:
        images: four, [N, 3, H, W] in [-1, 1].
        masks: one-hot [N, 4, H, W]: background, skin, hair, inner parts.
    """
    *parts, whole = (image.float() for image in images)
    return [*(part * masks[:, j : j + 1] for j, part in enumerate(parts, start=1)), whole]
