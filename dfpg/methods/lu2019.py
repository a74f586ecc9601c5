"""UID-GAN: Unsupervised Domain-Specific Deblurring via Disentangled Representations.

Lu, Chen and Chellappa, CVPR 2019. Domain I holds sharp pictures, domain B blurred ones of other
people. Layer sizes, loss weights and the order of updates are those of the released code. Widths
below are at ``width`` 64. Content codes are [N, 256, H/4, W/4], blur codes z are [N, latent].

``load_official`` reads a checkpoint of the released code. Its test script draws z around its mean;
here the mean is taken, so that a result is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Frozen, PositiveSteps, Weight, Width
from dfpg.core.errors import UserError
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods.base import Method, Phase, PriorInput, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import freeze
from dfpg.methods.official import Rule, axis_length, match_state, named_tensors, read_torch

SLOPE = 0.01  # of LeakyReLU, but in the blur encoder
BLUR_SLOPE = 0.2  # there
PERCEPTUAL_TAP = "conv3_3"  # layer 14 of the network, before its ReLU
DOMAINS = ("sharp", "blurred")  # I and B
SMALLEST_SCALE = 16  # px: the discriminators halve four times
ENCODED = 1  # images of the released code's batch of 2 whose blur code is encoded
PARTS = ("enc_c", "enc_a", "gen")  # of the released checkpoint; it holds more
ACCEPTED = f"a checkpoint of UID-GAN with {', '.join(PARTS)} (width 64, latent 8)"
NAMES: tuple[Rule, ...] = (  # ours -> part and name of the released code's
    (r"^blur\.mean\.", "enc_a.fc_B.0."),
    (r"^blur\.log_variance\.", "enc_a.fcVar_B.0."),
    (r"^blur\.features\.(\d)", lambda found: f"enc_a.conv_B.{int(found[1]) + 1}"),
    (r"(conv_B\.\d)\.body\.1\.", r"\1.conv.2."),
    (r"(conv_B\.\d)\.body\.3\.", r"\1.conv.4.1."),
    (r"^content\.branches\.sharp\.", "enc_c.convA."),
    (r"^content\.branches\.blurred\.", "enc_c.convB."),
    (r"(conv[AB])\.([025])\.", lambda found: f"{found[1]}.{int(found[2]) // 2}.model.1."),
    (r"(conv[AB])\.(8|9|10)\.", lambda found: f"{found[1]}.{int(found[2]) - 5}."),
    (r"^content\.shared\.", "enc_c.conv_share.0."),
    (r"^shared\.", "gen.dec_share.0."),
    (r"^decoders\.sharp\.", "gen.decA"),
    (r"^decoders\.blurred\.", "gen.decB"),
    (r"(dec[AB])blocks\.", r"\g<1>1."),
    (r"(dec[AB])up(\d)\.", lambda found: f"{found[1]}{int(found[2]) + 1}.0.model."),
    (r"(dec[AB])to_rgb\.", r"\g<1>4.0."),
    (r"\.body\.0\.", ".model.1."),
    (r"\.body\.3\.", ".model.5."),
)


class Lu2019Options(Frozen):
    """Block ``methods.lu2019`` of params.yaml, overridden by a run's ``options``."""

    width: Annotated[Width, Field(ge=4, multiple_of=2)]
    latent: Width
    discriminator_width: Annotated[Width, Field(ge=4)]
    discriminator_scales: Annotated[
        int, Field(ge=1, le=7, description="the last scale of 1024 px has 16")
    ]
    generator_every: PositiveSteps
    lambda_adversarial: Weight
    lambda_kl: Weight
    lambda_cycle: Weight
    lambda_reconstruction: Weight
    lambda_latent: Weight
    lambda_perceptual: Weight
    perceptual_input: PriorInput
    weight_decay: Weight


class InsResBlock(nn.Module):
    """x + IN(conv(ReLU(IN(conv(x))))), reflected at the border."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            _conv(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` plus the residual."""
        out: Tensor = self.body(x)
        return x + out


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    padding = (size - 1) // 2
    return nn.Conv2d(inputs, outputs, size, stride, padding, padding_mode="reflect")


class ContentEncoder(nn.Module):
    """E_c: one branch per domain, then one block that both share, which joins their codes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({domain: self._branch(width) for domain in DOMAINS})
        self.shared = InsResBlock(4 * width)

    @staticmethod
    def _branch(width: int) -> nn.Sequential:
        layers: list[nn.Module] = [_conv(3, width, 7), nn.LeakyReLU(SLOPE)]
        for n in (width, 2 * width):
            layers += [_conv(n, 2 * n, 3, stride=2), nn.InstanceNorm2d(2 * n), nn.ReLU()]
        return nn.Sequential(*layers, *(InsResBlock(4 * width) for _ in range(3)))

    def forward(self, image: Tensor, domain: str) -> Tensor:
        """Content of [N, 3, H, W] in [-1, 1], with noise N(0, 1) in training only."""
        code: Tensor = self.shared(self.branches[domain](image))
        return code + torch.randn_like(code) if self.training else code


class BlurBlock(nn.Module):
    """Residual block of the blur encoder, reflected at the border; average pooling halves it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LeakyReLU(BLUR_SLOPE),
            _conv(inputs, inputs, 3),
            nn.LeakyReLU(BLUR_SLOPE),
            _conv(inputs, outputs, 3),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


class BlurEncoder(nn.Module):
    """E_a: mean and log variance of the blur code of a blurred picture, each [N, latent]."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 3 * width, 4 * width)
        self.features = nn.Sequential(
            _conv(3, width, 4, stride=2),
            *(BlurBlock(a, b) for a, b in pairwise(widths)),
            nn.LeakyReLU(BLUR_SLOPE),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.mean = nn.Linear(4 * width, latent)
        self.log_variance = nn.Linear(4 * width, latent)

    def forward(self, blurred: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance for [N, 3, H, W], sides of at least 16 px."""
        features = self.features(blurred)
        return self.mean(features).float(), self.log_variance(features).float()


class Decoder(nn.Module):
    """Picture of one domain from content and blur code, which is joined anew at each resolution."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        first = 4 * width + latent
        second = (first + latent) // 2
        third = (second + latent) // 2
        self.blocks = nn.Sequential(*(InsResBlock(first) for _ in range(3)))
        self.up1 = self._up(first + latent, second)
        self.up2 = self._up(second + latent, third)
        self.to_rgb = nn.ConvTranspose2d(third + latent, 3, 1)

    @staticmethod
    def _up(inputs: int, outputs: int) -> nn.Sequential:
        # One group: layer normalisation over C, H, W with one scale and shift per channel.
        conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        return nn.Sequential(conv, nn.GroupNorm(1, outputs), nn.ReLU())

    def forward(self, content: Tensor, z: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1]."""
        x = self.up1(_join(self.blocks(_join(content, z)), z))
        x = self.up2(_join(x, z))
        return torch.tanh(self.to_rgb(_join(x, z)))


def _join(x: Tensor, z: Tensor) -> Tensor:
    plane = z.to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[-2:])
    return torch.cat([x, plane], dim=1)


class Generator(nn.Module):
    """E_c, E_a and G: all that deblurs; both of G's decoders take the code of the blurred image."""

    def __init__(self, width: int, latent: int) -> None:
        super().__init__()
        self.content = ContentEncoder(width)
        self.blur = BlurEncoder(width, latent)
        self.shared = InsResBlock(4 * width)
        self.decoders = nn.ModuleDict({domain: Decoder(width, latent) for domain in DOMAINS})

    def decode(self, content: Tensor, z: Tensor, domain: str) -> Tensor:
        """Picture [N, 3, H, W] of ``domain``."""
        image: Tensor = self.decoders[domain](self.shared(content), z)
        return image

    def forward(self, blurred: Tensor) -> Tensor:
        """Deblurred picture; z is its mean, where the released test code draws it."""
        return self.decode(self.content(blurred, "blurred"), self.blur(blurred)[0], "sharp")


class Discriminator(nn.Module):
    """Logits at several scales, each input half the last one; without normalisation."""

    def __init__(self, width: int, scales: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(self._scale(width) for _ in range(scales))

    @staticmethod
    def _scale(width: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, width), *((n * width, 2 * n * width) for n in (1, 2, 4))):
            layers += [_conv(inputs, outputs, 4, stride=2), nn.LeakyReLU(SLOPE)]
        return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Logits [N, 1, h, w] per scale; the smallest scale needs ``SMALLEST_SCALE``."""
        logits = []
        for scale in self.scales:
            logits.append(scale(image).float())
            image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return logits


class Discriminators(nn.ModuleDict):
    """Four discriminators, and the count of training steps that says whose turn it is."""

    step: Tensor

    def __init__(self, width: int, scales: int) -> None:
        names = [f"{domain}_{kind}" for domain in DOMAINS for kind in ("encoded", "random")]
        super().__init__({name: Discriminator(width, scales) for name in names})
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))


class Fakes(NamedTuple):
    """Pictures made from codes; ``z`` is drawn from N(0, 1), not encoded, for ``random``."""

    content: dict[str, Tensor]
    encoded: dict[str, Tensor]
    random: dict[str, Tensor]


def adversarial(logits: list[Tensor], real: bool) -> Tensor:
    """Binary cross entropy, a mean per scale, summed over scales."""
    return torch.stack([F.softplus(-x if real else x).mean() for x in logits]).sum()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of N(mean, variance), each [N, latent], from N(0, 1).

    Summed over the code, and over as many images as the released code encodes in a step: a sum over
    the batch would weigh it by the batch's size.
    """
    terms = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
    return ENCODED * terms.sum(dim=1).mean()


class Lu2019(Method):
    """UID-GAN on unpaired batches.

    The first half of a batch is encoded, the second serves the discriminators of pictures with a
    random blur code as real ones. It has no start that returns its input: the picture is decoded,
    through a tanh, from an instance-normalised code of a quarter of the resolution that no path
    leads around. Targets are never seen, hence there is no plain-L1 objective either.
    """

    Options = Lu2019Options
    options: Lu2019Options
    multiple = 16
    view: ClassVar[str] = "unpaired"
    gradient_parts: ClassVar = {"encoder": ("content",)}
    system = System("UID-GAN", "Lu et al., CVPR", 2019, weights="no licence stated; read")
    recipe = Recipe(Schedule(shape="linear", constant=0.5))  # 40 of 80 epochs constant
    contract = Contract(
        small={
            "width": 8,
            "latent": 8,
            "discriminator_width": 8,
            "discriminator_scales": 2,
            "generator_every": 1,
            "lambda_adversarial": 1.0,
            "lambda_kl": 0.01,
            "lambda_cycle": 10.0,
            "lambda_reconstruction": 10.0,
            "lambda_latent": 10.0,
            "lambda_perceptual": 0.1,
            "perceptual_input": "authors",
            "weight_decay": 1e-4,
        },
        full={"width": 64, "discriminator_width": 64, "discriminator_scales": 3},
        parameters={
            "generator.content": 9_018_112,
            "generator.blur": 1_344_080,
            "generator": 9_018_112 + 1_344_080 + 9_563_878 + 832,
            "discriminator.sharp_encoded": 8_271_171,
            "discriminator": 4 * 8_271_171,
        },
        identity=None,
        l1=None,
        sees_sharp=False,
        falling=("cycle", "reconstruction"),
        lr=1e-3,
        steps=40,
    )

    def __init__(self, name: str, options: Lu2019Options, setting: Setting) -> None:
        super().__init__(name, options, setting)
        smallest = setting.image_size >> (options.discriminator_scales - 1)
        if smallest < SMALLEST_SCALE:
            raise UserError(
                f"methods.{name}.discriminator_scales: the last of {options.discriminator_scales} "
                f"scales of {setting.image_size} px has {smallest} px, less than {SMALLEST_SCALE}: "
                "use fewer"
            )
        self.networks["generator"] = Generator(options.width, options.latent)
        if setting.prior is not None:
            self.networks["discriminator"] = Discriminators(
                options.discriminator_width, options.discriminator_scales
            )
        for network in self.networks.values():
            _initialise(network, setting.seed)

    @classmethod
    def needs_prior(cls, _options: Lu2019Options) -> bool:
        """The perceptual loss uses it."""
        return True

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:
        """Adam with beta (0.5, 0.999) and weight decay, as released.

        What an update does not reach has no gradient and stays: one optimiser serves both updates
        of the generator, and one all discriminators.
        """
        rates = {"generator": lr, "discriminator": lr_discriminator}
        return {
            name: torch.optim.Adam(
                network.parameters(),
                lr=rates[name],
                betas=(0.5, 0.999),
                weight_decay=self.options.weight_decay,
                fused=True,
            )
            for name, network in self.networks.items()
        }

    def infer(self, blurred: Tensor) -> Tensor:
        """Deblurred image."""
        image: Tensor = self.networks["generator"](blurred)
        return image

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """D; then, every ``generator_every`` steps, both updates of encoders and G."""
        generator = cast(Generator, self.networks["generator"])
        discriminators = cast(Discriminators, self.networks["discriminator"])
        turn = int(discriminators.step) % self.options.generator_every == 0
        count = len(batch.sharp)
        pairs = {"sharp": batch.sharp, "blurred": batch.blurred}
        real = {name: x[: (count + 1) // 2] for name, x in pairs.items()}
        other = {name: x[count // 2 :] for name, x in pairs.items()}

        with torch.set_grad_enabled(turn):
            mean, log_variance = generator.blur(real["blurred"])
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            drawn = torch.randn_like(mean)
            fakes = self._fakes(generator, real, z, drawn)
        yield self._discriminate(discriminators, real, other, fakes)

        discriminators.step += 1
        if turn:
            kl = divergence(mean, log_variance)
            target = self._blurred_features(real["blurred"])
            yield self._encoded_phase(generator, discriminators, real, fakes, z, kl, target)
            yield self._random_phase(generator, discriminators, real, drawn, target)

    def discriminator_scores(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Mean logits of sharp and deblurred faces, summed over the scales."""
        if "discriminator" not in self.networks:
            return None
        discriminator = cast(Discriminators, self.networks["discriminator"])["sharp_encoded"]
        real, fake = (
            torch.stack([logits.mean(dim=(1, 2, 3)) for logits in discriminator(images)]).sum(dim=0)
            for images in (batch.sharp, self.infer(batch.blurred))
        )
        return real, fake

    @staticmethod
    def _fakes(generator: Generator, real: dict[str, Tensor], z: Tensor, drawn: Tensor) -> Fakes:
        """Pictures of the other domain, named by the domain that they imitate."""
        content = {name: generator.content(x, name) for name, x in real.items()}
        crossed = {"sharp": content["blurred"], "blurred": content["sharp"]}
        encoded = {name: generator.decode(c, z, name) for name, c in crossed.items()}
        with torch.no_grad():  # only the discriminators see these
            random = {name: generator.decode(c, drawn, name) for name, c in crossed.items()}
        return Fakes(content, encoded, random)

    @staticmethod
    def _discriminate(
        discriminators: Discriminators,
        real: dict[str, Tensor],
        other: dict[str, Tensor],
        fakes: Fakes,
    ) -> Phase:
        terms = {}
        for domain in DOMAINS:
            for kind, true, false in (
                ("encoded", real, fakes.encoded),
                ("random", other, fakes.random),
            ):
                discriminator = discriminators[f"{domain}_{kind}"]
                loss = adversarial(discriminator(true[domain]), real=True)
                loss = loss + adversarial(discriminator(false[domain].detach()), real=False)
                terms[f"d_{domain}_{kind}"] = (1.0, loss)
        return Phase.of("discriminator", terms)

    def _encoded_phase(
        self,
        generator: Generator,
        discriminators: Discriminators,
        real: dict[str, Tensor],
        fakes: Fakes,
        z: Tensor,
        kl: Tensor,
        target: Tensor,
    ) -> Phase:
        """All of E_c, E_a and G: GAN, KL, reconstruction, cross cycle and perceptual losses."""
        options = self.options
        again = {name: generator.content(x, name) for name, x in fakes.encoded.items()}
        z_again, log_variance = generator.blur(fakes.encoded["blurred"])
        z_again = z_again + torch.exp(0.5 * log_variance) * torch.randn_like(z_again)
        # The content of a sharp picture lies in the blurred one made of it, and vice versa.
        cycle = {
            "sharp": generator.decode(again["blurred"], z_again, "sharp"),
            "blurred": generator.decode(again["sharp"], z_again, "blurred"),
        }
        own = {name: generator.decode(fakes.content[name], z, name) for name in DOMAINS}
        with freeze(discriminators):
            adversarial_terms = [
                adversarial(discriminators[f"{name}_encoded"](x), real=True)
                for name, x in fakes.encoded.items()
            ]
        parts = {
            "adversarial": (options.lambda_adversarial, torch.stack(adversarial_terms).sum()),
            "kl": (options.lambda_kl, kl),
            "cycle": (options.lambda_cycle, _l1(cycle, real)),
            "reconstruction": (options.lambda_reconstruction, _l1(own, real)),
            "perceptual": (
                options.lambda_perceptual,
                self._perceptual(fakes.encoded["sharp"], target),
            ),
        }
        return Phase.of("generator", parts)

    def _random_phase(
        self,
        generator: Generator,
        discriminators: Discriminators,
        real: dict[str, Tensor],
        drawn: Tensor,
        target: Tensor,
    ) -> Phase:
        """E_c and G only: GAN with random blur codes, their recovery, perceptual loss."""
        options = self.options
        blurred = generator.decode(generator.content(real["sharp"], "sharp"), drawn, "blurred")
        sharp = generator.decode(generator.content(real["blurred"], "blurred"), drawn, "sharp")
        with freeze(discriminators), freeze(generator.blur):
            adversarial_terms = [
                adversarial(discriminators["sharp_random"](sharp), real=True),
                adversarial(discriminators["blurred_random"](blurred), real=True),
            ]
            recovered = generator.blur(blurred)[0]
        parts = {
            "adversarial_random": (
                options.lambda_adversarial,
                torch.stack(adversarial_terms).sum(),
            ),
            "latent": (options.lambda_latent, (recovered - drawn).abs().mean()),
            "perceptual_random": (
                options.lambda_perceptual,
                self._perceptual(sharp, target),
            ),
        }
        return Phase.of("generator", parts)

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Width and length of the blur code."""
        state = read_parts(path)
        return {
            "width": axis_length(path, state, "enc_c.convA.0.model.1.weight", 0, ACCEPTED),
            "latent": axis_length(path, state, "enc_a.fc_B.0.weight", 0, ACCEPTED),
        }

    def load_official(self, path: Path) -> None:
        """Load a released checkpoint: encoders and generator, under the released code's names.

        Raises:
            UserError: missing, damaged, another layout, or of other options.
        """
        generator = self.networks["generator"]
        generator.load_state_dict(match_state(path, generator, read_parts(path), NAMES, ACCEPTED))

    def _perceptual(self, deblurred: Tensor, target: Tensor) -> Tensor:
        """Mean squared distance of features: the deblurred face shows what its input shows."""
        return F.mse_loss(self._features(deblurred).float(), target.float())

    @torch.no_grad()
    def _blurred_features(self, blurred: Tensor) -> Tensor:
        """Features of the blurred pictures, which both updates compare with."""
        return self._features(blurred)

    def _features(self, images: Tensor) -> Tensor:
        if self.setting.prior is None:
            raise ValueError(f"{self.name} was built for inference: it has no prior network")
        (features,) = self.setting.prior.features(
            images, [PERCEPTUAL_TAP], self.options.perceptual_input
        )
        return features


def read_parts(path: Path) -> dict[str, Tensor]:
    """Tensors of the checkpoint's networks that restoring needs, as ``gen.decA4.0.bias``.

    Raises:
        UserError: missing, damaged, or a part is missing.
    """
    raw, state = read_torch(path, ACCEPTED), dict[str, Tensor]()
    for part in PARTS:
        if not isinstance(raw.get(part), Mapping):
            raise UserError(f"{path}: no {part}; accepted: {ACCEPTED}")
        tensors = named_tensors(path, raw[part], ACCEPTED)
        state |= {f"{part}.{name}": value for name, value in tensors.items()}
    return state


def _initialise(network: nn.Module, seed: int) -> None:
    """N(0, 0.02) and zero bias, as released; normalisations stay as PyTorch makes them."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            stream = torch.Generator().manual_seed(derive_seed(seed, "init", name))
            nn.init.normal_(layer.weight, std=0.02, generator=stream)
            nn.init.zeros_(cast(Tensor, layer.bias))


def _l1(images: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
    terms = [(image.float() - targets[name]).abs().mean() for name, image in images.items()]
    return torch.stack(terms).sum()
