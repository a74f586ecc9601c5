"""GFPGAN: Towards Real-World Blind Face Restoration with Generative Facial Prior.

Wang, Li, Zhang and Shan, CVPR 2021, in the released "clean" architecture without custom operators:
a U-Net removes the degradation and predicts style codes and, per resolution, scale and shift for
half of the channels of a StyleGAN2 decoder. Narrower pictures have fewer resolutions, else the
same rule: 4 px to ``size``, each twice the last.

An approximation in training: the face prior (the decoder) is trained here first, for
``prior_steps`` steps, without StyleGAN2's path-length term and style mixing; the identity loss
takes the mean features of the suite's prior network at unit root mean square, not ArcFace's of grey
pictures; the component discriminators and component style losses (eyes, mouth) are left out: they
need landmarks of every training face.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, cast

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import MAX_SIDE, Frozen, PositiveSteps, Steps, Weight, Width
from dfpg.core.errors import UserError
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.data.blur.blind import WANG2021
from dfpg.methods import losses
from dfpg.methods.base import Method, Phase, PriorInput, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import freeze, initialise
from dfpg.methods.measures import own_degradation_gain
from dfpg.methods.official import axis_length, count_numbers, match_state, read_state

SLOPE = 0.2  # of every LeakyReLU
MLP_LAYERS = 8  # z to w
DEFAULT = 6**-0.5  # times Kaiming's deviation: PyTorch's default, as nothing is normalised
# The last convolution of each block before its ReLU, as released (there of VGG-19), and its weight.
PERCEPTUAL = {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_3": 1.0, "conv4_3": 1.0, "conv5_3": 1.0}
IDENTITY_TAP = "conv5_3"
NAMES = ((r"^decoder\.", "stylegan_decoder."), (r"^to_rgb\.", "toRGB."))  # ours -> released
ACCEPTED = "GFPGANCleanv1-NoCE-C2.pth, GFPGANv1.3.pth or GFPGANv1.4.pth"

Channels = Annotated[Width, Field(ge=4, multiple_of=4)]
Beta = Annotated[float, Field(ge=0, lt=1, description="of Adam: at 1 its averages never move")]


class Wang2021Options(Frozen):
    """Block ``methods.wang2021`` of params.yaml, overridden by a run's ``options``.

    ``channels`` is the decoder's width up to 32 px, from where it halves (times ``multiplier``);
    the U-Net has half. ``size`` null works at the profile's image size; else pictures are resized
    to it and back. Pyramid steps count from the end of the prior's training. ``noise`` is the
    decoder's when it restores: drawn for every picture, as released, or one for all.
    """

    objective: Literal["native", "l1"]
    size: Annotated[int, Field(ge=8, le=MAX_SIDE, description="px: published at 512")] | None
    channels: Channels
    multiplier: Annotated[int, Field(ge=1, le=4, description="published: 1 and 2")]
    style: Width
    discriminator_channels: Channels
    prior_steps: Steps
    fix_prior: bool
    noise: Literal["random", "stored"]
    identity: Literal["l1", "cosine"]
    pyramid_steps: Steps
    r1: Weight
    r1_every: PositiveSteps
    betas: Annotated[list[Beta], Field(min_length=2, max_length=2)]
    lambda_pixel: Weight
    lambda_perceptual: Weight
    lambda_style: Weight
    lambda_adversarial: Weight
    lambda_identity: Weight
    lambda_pyramid: Weight
    perceptual_input: PriorInput

    @field_validator("size")
    @classmethod
    def _power_of_two(cls, size: int | None) -> int | None:
        if size is not None and size & (size - 1):
            raise ValueError("must be a power of two")
        return size


def widths(channels: int, multiplier: int, size: int) -> dict[int, int]:
    """Channels at each resolution from 4 px to ``size``."""
    sides = [2**level for level in range(2, size.bit_length())]
    return {s: channels if s <= 32 else max(1, 32 * channels * multiplier // s) for s in sides}


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bicubic, antialiased; unchanged where the size fits."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image.float(), size, mode="bicubic", antialias=True)


def resample(x: Tensor, factor: float) -> Tensor:
    """Bilinear resampling by 2 or 0.5."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU."""
    return F.leaky_relu(x, SLOPE)


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style, StyleGAN2's with demodulation.

    Input and output are scaled in place of the weights: equal, and one convolution per batch.
    """

    def __init__(self, inputs: int, outputs: int, size: int, style: int, demodulate: bool) -> None:
        super().__init__()
        self.modulation = nn.Linear(style, inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, size, size))
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """[N, inputs, h, w] and style codes [N, style] to [N, outputs, h, w]."""
        scale = self.modulation(style)
        out = F.conv2d(x * scale[:, :, None, None], self.weight, padding=self.weight.shape[-1] // 2)
        if self.demodulate:
            power = self.weight.float().square().sum(dim=(2, 3))
            norm = F.linear(scale.float().square(), power).float()
            out = out * torch.rsqrt(norm + 1e-8).to(out.dtype)[:, :, None, None]
        return out


class StyleConv(nn.Module):
    """Modulated 3x3 convolution, noise of learned strength, bias, LeakyReLU."""

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, outputs, 3, style, demodulate=True)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outputs, 1, 1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """``noise`` is [N or 1, 1, h, w]."""
        out = self.modulated_conv(x, style) * math.sqrt(2)
        return leaky_relu(out + self.weight * noise + self.bias)


class ToRGB(nn.Module):
    """Adds a resolution's colours to the upsampled ones before."""

    def __init__(self, inputs: int, style: int) -> None:
        super().__init__()
        self.modulated_conv = ModulatedConv(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, image: Tensor | None) -> Tensor:
        """RGB [N, 3, h, w]; ``image`` has half the resolution."""
        out: Tensor = self.modulated_conv(x, style) + self.bias
        return out if image is None else out + resample(image, 2)


class Constant(nn.Module):
    """What the decoder starts from, [1, n, 4, 4]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, channels, 4, 4))


class Decoder(nn.Module):
    """StyleGAN2 generator whose features can be transformed in half of their channels."""

    def __init__(self, width: dict[int, int], style: int) -> None:
        super().__init__()
        sides = list(width)
        self.codes = 2 * len(sides)  # of style, per picture
        layers: list[nn.Module] = [nn.Identity()]
        for _ in range(MLP_LAYERS):
            layers += [nn.Linear(style, style), nn.LeakyReLU(SLOPE)]
        self.style_mlp = nn.Sequential(*layers)
        self.constant_input = Constant(width[4])
        self.style_conv1 = StyleConv(width[4], width[4], style)
        self.to_rgb1 = ToRGB(width[4], style)
        self.style_convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        self.noises.register_buffer("noise0", torch.empty(1, 1, 4, 4))
        for side in sides[1:]:
            self.style_convs.append(StyleConv(width[side // 2], width[side], style))
            self.style_convs.append(StyleConv(width[side], width[side], style))
            self.to_rgbs.append(ToRGB(width[side], style))
            for _ in range(2):
                name = f"noise{len(list(self.noises.buffers()))}"
                self.noises.register_buffer(name, torch.empty(1, 1, side, side))

    def style_codes(self, z: Tensor) -> Tensor:
        """Style codes [N, codes, style] of z [N, style]; z is brought to unit mean square."""
        unit = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        w: Tensor = self.style_mlp(unit)
        return w[:, None].expand(-1, self.codes, -1)

    def forward(
        self, codes: Tensor, conditions: list[tuple[Tensor, Tensor]], noises: list[Tensor]
    ) -> Tensor:
        """Picture [N, 3, size, size] from style codes and scale and shift from 8 px on.

        Without conditions it is StyleGAN2. ``noises`` are [N or 1, 1, h, w], as of ``noises``.
        """
        x = self.constant_input.weight.repeat(len(codes), 1, 1, 1)
        x = self.style_conv1(x, codes[:, 0], noises[0])
        image: Tensor = self.to_rgb1(x, codes[:, 1], None)
        for level, to_rgb in enumerate(self.to_rgbs):
            first = 2 * level + 1  # the next resolution's first code is this one's for colours
            x = self.style_convs[2 * level](resample(x, 2), codes[:, first], noises[first])
            if conditions:
                own, given = x.chunk(2, dim=1)
                scale, shift = conditions[level]
                x = torch.cat([own, given * scale + shift], dim=1)
            x = self.style_convs[2 * level + 1](x, codes[:, first + 1], noises[first + 1])
            image = to_rgb(x, codes[:, first + 2], image)
        return image

    def stored_noises(self) -> list[Tensor]:
        """The network's own noise, one for all pictures."""
        return list(self.noises.buffers())

    def fresh_noises(self, count: int) -> list[Tensor]:
        """Noise for ``count`` pictures, from the global stream."""
        stored = self.noises.buffers()
        return [torch.randn(count, *noise.shape[1:], device=noise.device) for noise in stored]

    def image_noises(self, images: Tensor) -> list[Tensor]:
        """Noise for each of the pictures, a function of its pixels alone."""
        stored = self.stored_noises()
        if images.is_meta:
            return stored
        drawn = []
        for image in images.detach().float().cpu():
            digest = hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()
            stream = torch.Generator().manual_seed(derive_seed(0, "noise", digest))
            drawn.append([torch.randn(noise.shape[1:], generator=stream) for noise in stored])
        return [torch.stack(maps).to(images.device) for maps in zip(*drawn, strict=True)]


class ResBlock(nn.Module):
    """Two convolutions with bilinear resampling by ``factor`` between them."""

    def __init__(self, inputs: int, outputs: int, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.conv1 = nn.Conv2d(inputs, inputs, 3, padding=1)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] to [N, outputs, factor h, factor w]."""
        out = leaky_relu(self.conv2(resample(leaky_relu(self.conv1(x)), self.factor)))
        skip: Tensor = self.skip(resample(x, self.factor))
        return out + skip


class Generator(nn.Module):
    """Degradation-removal U-Net and decoder; modules are named as in the released code."""

    def __init__(self, channels: int, multiplier: int, style: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.random_noise = False  # when it restores; else the stored noise
        wide = widths(channels, multiplier, size)
        sides, width = list(wide), {side: max(1, n // 2) for side, n in wide.items()}
        down, up = sides[:0:-1], sides[1:]
        self.conv_body_first = nn.Conv2d(3, width[size], 1)
        self.conv_body_down = nn.ModuleList(ResBlock(width[s], width[s // 2], 0.5) for s in down)
        self.final_conv = nn.Conv2d(width[4], width[4], 3, padding=1)
        self.conv_body_up = nn.ModuleList(ResBlock(width[s // 2], width[s], 2) for s in up)
        self.to_rgb = nn.ModuleList(nn.Conv2d(width[s], 3, 1) for s in up)
        self.decoder = Decoder(wide, style)
        self.final_linear = nn.Linear(16 * width[4], self.decoder.codes * style)
        self.condition_scale = nn.ModuleList(self._condition(width[s]) for s in up)
        self.condition_shift = nn.ModuleList(self._condition(width[s]) for s in up)

    @staticmethod
    def _condition(channels: int) -> nn.Sequential:
        convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
        return nn.Sequential(convs[0], nn.LeakyReLU(SLOPE), convs[1])

    def forward(self, blurred: Tensor, pyramid: bool = False) -> tuple[Tensor, list[Tensor]]:
        """Picture [N, 3, size, size], and the U-Net's own pictures from 8 px on if ``pyramid``."""
        x = leaky_relu(self.conv_body_first(resize(blurred, (self.size, self.size))))
        skips = []
        for block in self.conv_body_down:
            x = block(x)
            skips.append(x)
        x = leaky_relu(self.final_conv(x))
        codes = self.final_linear(x.flatten(1)).view(len(x), self.decoder.codes, -1)
        conditions, pictures = [], []
        for level, block in enumerate(self.conv_body_up):
            x = block(x + skips[-1 - level])
            conditions.append((self.condition_scale[level](x), self.condition_shift[level](x)))
            if pyramid:
                pictures.append(self.to_rgb[level](x))
        image: Tensor = self.decoder(codes, conditions, self._noises(blurred))
        return image, pictures

    def _noises(self, blurred: Tensor) -> list[Tensor]:
        if self.training:
            return self.decoder.fresh_noises(len(blurred))
        if self.random_noise:
            return self.decoder.image_noises(blurred)
        return self.decoder.stored_noises()

    def initialise_weights(self, seed: int) -> None:
        """Initial weights; the transforms' scale starts near 1 (assumed: the prior then acts)."""
        initialise(self, seed, DEFAULT)
        initialise(self.decoder.style_mlp, seed, scale=1.0)
        stream = torch.Generator().manual_seed(derive_seed(seed, "init", "decoder"))
        for module in self.modules():
            if isinstance(module, ModulatedConv):
                fan = module.weight[0].numel()
                nn.init.normal_(module.weight, std=fan**-0.5, generator=stream)
                width = module.modulation.in_features
                nn.init.normal_(module.modulation.weight, std=width**-0.5, generator=stream)
                nn.init.ones_(module.modulation.bias)
        for to_rgb in (self.decoder.to_rgb1, *self.decoder.to_rgbs):
            with torch.no_grad():  # near grey, as the sum over resolutions is large
                cast(ToRGB, to_rgb).modulated_conv.weight.mul_(0.1)
        nn.init.normal_(self.decoder.constant_input.weight, generator=stream)
        for noise in self.decoder.noises.buffers():
            noise.normal_(generator=stream)
        for last, bias in ((self.condition_scale, 1.0), (self.condition_shift, 0.0)):
            for branch in last:
                layer = cast(nn.Conv2d, cast(nn.Sequential, branch)[-1])
                with torch.no_grad():
                    layer.weight.mul_(0.1)
                nn.init.constant_(cast(Tensor, layer.bias), bias)


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator, with the batch's deviation as the last channel."""

    step: Tensor

    def __init__(self, channels: int, multiplier: int, size: int) -> None:
        super().__init__()
        width = widths(channels, multiplier, size)
        self.first = nn.Conv2d(3, width[size], 1)
        down = list(width)[:0:-1]
        self.blocks = nn.ModuleList(ResBlock(width[s], width[s // 2], 0.5) for s in down)
        self.last = nn.Conv2d(width[4] + 1, width[4], 3, padding=1)
        self.linear = nn.Linear(16 * width[4], width[4])
        self.logit = nn.Linear(width[4], 1)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))  # of training

    def forward(self, image: Tensor) -> Tensor:
        """Logits [N, 1]."""
        x = leaky_relu(self.first(image))
        for block in self.blocks:
            x = block(x) / math.sqrt(2)
        spread = (x.float().var(dim=0, unbiased=False) + 1e-8).sqrt().mean().to(x.dtype)
        x = leaky_relu(self.last(torch.cat([x, spread.expand(len(x), 1, 4, 4)], dim=1)))
        logits: Tensor = self.logit(leaky_relu(self.linear(x.flatten(1))))
        return logits.float()


class Wang2021(Method):
    """GFPGAN on pictures degraded without motion blur.

    There is no start that returns its input: the picture is the decoder's, built up from a
    constant, and the U-Net reaches its finest features only through half the resolution.
    """

    Options = Wang2021Options
    options: Wang2021Options
    multiple = 1
    view: ClassVar[str] = "blind"
    earlier_options: ClassVar = {"noise": "stored", "identity": "cosine"}
    gradient_parts: ClassVar = {"encoder": ("conv_body_first", "conv_body_down")}
    system = System(
        "GFPGAN", "Wang et al., CVPR", 2021, weights="Apache-2.0; v1.2 to v1.4 are read"
    )
    # Halved after 600,000 and 700,000 steps of 800,000.
    recipe = Recipe(Schedule(shape="step", drops=((0.75, 0.5), (0.875, 0.25))), ema=0.998)
    contract = Contract(
        small={
            "objective": "native",
            "size": None,
            "channels": 32,
            "multiplier": 1,
            "style": 32,
            "discriminator_channels": 16,
            "prior_steps": 1,
            "fix_prior": False,
            "noise": "random",
            "identity": "l1",
            "pyramid_steps": 1000,
            "r1": 10.0,
            "r1_every": 16,
            "betas": [0.9, 0.99],
            "lambda_pixel": 10.0,
            "lambda_perceptual": 0.01,
            "lambda_style": 0.0,
            "lambda_adversarial": 0.01,
            "lambda_identity": 0.0,
            "lambda_pyramid": 1.0,
            "perceptual_input": "authors",
        },
        full={"channels": 512, "style": 512, "size": 512},
        parameters={"generator": 76_207_244},
        image_size=512,
        identity=None,
        lr=3e-3,
    )

    def __init__(self, name: str, options: Wang2021Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        size = options.size or setting.image_size
        if size < 8 or size & (size - 1):
            raise UserError(
                f"methods.{name}.size: the picture's side of {size} px is no power of two "
                "of at least 8: give one, pictures are then resized to it and back"
            )
        generator = Generator(options.channels, options.multiplier, options.style, size)
        generator.initialise_weights(setting.seed)
        generator.random_noise = options.noise == "random"
        self.networks["generator"] = generator
        if options.objective == "native" and setting.prior is not None:
            discriminator = Discriminator(options.discriminator_channels, options.multiplier, size)
            initialise(discriminator, setting.seed, DEFAULT)
            self.networks["discriminator"] = discriminator

    @classmethod
    def needs_prior(cls, options: Wang2021Options) -> bool:
        """The perceptual, style and identity losses use it."""
        return options.objective == "native"

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:
        """Adam with the betas of the options."""
        rates, (one, two) = {"generator": lr, "discriminator": lr_discriminator}, self.options.betas
        return {
            name: torch.optim.Adam(n.parameters(), lr=rates[name], betas=(one, two), fused=True)
            for name, n in self.networks.items()
        }

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image of the input's size."""
        image, _ = self.networks["generator"](blurred)
        height, width = blurred.shape[-2:]
        return resize(image, (height, width))

    def mechanisms(self, batch: Batch) -> dict[str, Tensor]:
        """What it gains on faces degraded as in its training."""
        return own_degradation_gain(self, batch.sharp, WANG2021)

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """First the face prior (D, decoder), from ``prior_steps`` on the whole (D, all)."""
        generator = cast(Generator, self.networks["generator"])
        sharp = resize(batch.sharp, (generator.size, generator.size))
        if self.options.objective == "l1":
            loss = losses.pixel_loss(generator(batch.blurred)[0], sharp)
            yield Phase.of("generator", {"pixel": (1.0, loss)})
            return
        discriminator = cast(Discriminator, self.networks["discriminator"])
        step = int(discriminator.step)
        discriminator.step += 1
        since = step - self.options.prior_steps
        if since < 0:
            z = torch.randn(len(sharp), self.options.style, device=sharp.device)
            decoder, pictures = generator.decoder, []
            fake = decoder(decoder.style_codes(z), [], decoder.fresh_noises(len(z)))
        elif self.options.fix_prior:
            with freeze(generator.decoder):
                fake, pictures = generator(batch.blurred, since < self.options.pyramid_steps)
        else:
            fake, pictures = generator(batch.blurred, since < self.options.pyramid_steps)
        yield self._discriminate(discriminator, sharp, fake.detach(), step)
        with freeze(discriminator):
            adversarial = losses.adversarial_loss(discriminator(fake))
        if since < 0:
            yield Phase.of("generator", {"prior_adversarial": (1.0, adversarial)})
            return
        parts = {
            "pixel": (self.options.lambda_pixel, losses.pixel_loss(fake, sharp)),
            "adversarial": (self.options.lambda_adversarial, adversarial),
            **self._feature_losses(fake, sharp),
        }
        if pictures:
            pyramid = pyramid_loss(pictures, sharp)
            parts["pyramid"] = (self.options.lambda_pyramid, pyramid)
        yield Phase.of("generator", parts)

    def discriminator_scores(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Logits of sharp and restored images at the networks' size."""
        if "discriminator" not in self.networks:
            return None
        generator = cast(Generator, self.networks["generator"])
        discriminator, size = self.networks["discriminator"], (generator.size, generator.size)
        real, fake = (
            discriminator(resize(batch.sharp, size)),
            discriminator(generator(batch.blurred)[0]),
        )
        return real.flatten(), fake.flatten()

    def _discriminate(
        self, discriminator: Discriminator, sharp: Tensor, fake: Tensor, step: int
    ) -> Phase:
        """Logistic loss; every ``r1_every`` steps its gradient penalty R1, that many times."""
        loss = losses.discriminator_loss(discriminator(sharp), discriminator(fake))
        terms = {"d_loss": (1.0, loss)}
        if step % self.options.r1_every == 0:
            with torch.autocast(sharp.device.type, enabled=False):
                penalty = gradient_penalty(discriminator, sharp)
            terms["r1"] = (0.5 * self.options.r1 * self.options.r1_every, penalty)
        return Phase.of("discriminator", terms)

    def _feature_losses(self, fake: Tensor, sharp: Tensor) -> dict[str, tuple[float, Tensor]]:
        """Perceptual and style loss on five layers, and the identity loss."""
        prior, values = self.setting.prior, self.options.perceptual_input
        if prior is None:
            raise ValueError(f"{self.name} was built for inference: it has no prior network")
        with torch.no_grad():
            target = [x.float() for x in prior.features(sharp, list(PERCEPTUAL), values)]
        found = [x.float() for x in prior.features(fake, list(PERCEPTUAL), values)]
        terms = list(zip(PERCEPTUAL.values(), found, target, strict=True))
        perceptual = torch.stack([w * F.l1_loss(a, b) for w, a, b in terms]).sum()
        style = torch.stack([w * F.l1_loss(gram(a), gram(b)) for w, a, b in terms]).sum()
        deep = list(PERCEPTUAL).index(IDENTITY_TAP)
        own, true = (unit_rms(x[deep].mean(dim=(2, 3))) for x in (found, target))
        if self.options.identity == "l1":
            identity = F.l1_loss(own, true)
        else:
            identity = 1 - (own * true).mean(dim=1).mean()
        return {
            "perceptual": (self.options.lambda_perceptual, perceptual),
            "style": (self.options.lambda_style, style),
            "identity": (self.options.lambda_identity, identity),
        }

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Size and widths; of a file below 64 px the multiplier does not show."""
        state = read_state(path, ACCEPTED)
        channels = axis_length(path, state, "stylegan_decoder.constant_input.weight", 1, ACCEPTED)
        style = axis_length(path, state, "stylegan_decoder.style_mlp.1.weight", 1, ACCEPTED)
        levels = count_numbers(state, r"stylegan_decoder\.to_rgbs\.(\d+)\.")
        fine = "stylegan_decoder.to_rgbs.3.modulated_conv.weight"  # of 64 px
        wide = axis_length(path, state, fine, 2, ACCEPTED) if levels > 3 else channels // 2
        return {
            "size": 4 << levels,
            "channels": channels,
            "multiplier": 2 * wide // channels,
            "style": style,
        }

    def load_official(self, path: Path) -> None:
        """Load a released file; the row then says ``official weights``.

        Accepted: a PyTorch file with the clean architecture's names, for 512 px and options
        ``size`` 512, ``channels`` and ``style`` 512, ``multiplier`` 2 (v1.2, v1.3 and v1.4). The
        first release (v1) needs custom operators, has other names and is refused.

        Raises:
            UserError: missing, damaged, another layout, or of another size.
        """
        generator, state = self.networks["generator"], read_state(path, ACCEPTED)
        found = match_state(path, generator, state, NAMES, ACCEPTED, ignored=".*")
        generator.load_state_dict(found)


def gradient_penalty(discriminator: nn.Module, sharp: Tensor) -> Tensor:
    """R1: mean squared norm of D's gradient at real pictures."""
    sharp = sharp.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(sharp).sum(), sharp, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def unit_rms(embedding: Tensor) -> Tensor:
    """Embeddings [N, C] at root mean square 1, as ArcFace's are behind their normalisation."""
    return embedding * embedding.square().mean(dim=1, keepdim=True).clamp_min(1e-12).rsqrt()


def gram(x: Tensor) -> Tensor:
    """Gram matrix [N, C, C] of features, divided by their number C h w."""
    flat = x.flatten(2)
    return flat @ flat.mT / x[0].numel()


def pyramid_loss(pictures: list[Tensor], sharp: Tensor) -> Tensor:
    """L1 distance of the U-Net's pictures to the sharp one at each resolution, summed."""
    terms = []
    for picture in reversed(pictures):
        terms.append(losses.pixel_loss(picture, sharp))
        sharp = resample(sharp, 0.5)
    return torch.stack(terms).sum()
