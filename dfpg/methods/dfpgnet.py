"""DFPGnet (Jung, Lee and Heo, WACV 2022) and its ablations B1 to B6.

Equations and table numbers are the paper's; layer sizes are those of sujyQ/SAPPGAN.
``load_official`` reads a state of the generator class in sujyQ/SAPPGAN (model/DFPGNet_G.py), which
is SAPPGAN's generator and DFPGnet's own: ``G_PSNR_best.pth``, ``netL_best.pth`` or the like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, cast

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dfpg.core.config import Depth, Frozen, Weight, Width
from dfpg.core.schedule import Schedule
from dfpg.core.seeds import derive_seed
from dfpg.methods import losses
from dfpg.methods.base import Method, Phase, PriorInput, Setting
from dfpg.methods.batch import Batch
from dfpg.methods.blocks import SFT, SLOPE, SSFT, ChannelAttention, ResBlock, ResGroup
from dfpg.methods.card import Contract, Recipe, System
from dfpg.methods.initialise import freeze, initialise, set_orthonormal_ends, zero
from dfpg.methods.measures import correlation, cosine
from dfpg.methods.official import (
    RES_BLOCK,
    Rule,
    axis_length,
    count_numbers,
    load_one_file,
    read_state,
)

PRIOR_CHANNELS = (64, 128, 256)  # of P_1, P_2, P_3: the prior network's, whatever our width
PERCEPTUAL_TAP = "conv3_2"  # before its ReLU; assumed: as in MSPL-GAN
ACCEPTED = (
    "a state dict of the generator class in sujyQ/SAPPGAN "
    "(variant b4, b5 or b6, width 64, blocks 5, prior_blocks 10, output tanh)"
)
NAMES: tuple[Rule, ...] = (  # ours -> that class's
    (r"^(en\d|middle|de\d)\.blocks\.", r"\1.0.main."),
    (r"^prior\.(\d)\.1\.blocks\.", r"prior.\1.1.main."),
    (r"^prior\.(\d)", lambda found: f"vggf{int(found[1]) + 1}"),
    (r"^fuse\.(\d)", lambda found: f"ft{3 - int(found[1])}"),
    *RES_BLOCK,
)

PriorFusion = Literal["add", "concat"]
Output = Literal["tanh", "linear"]


@dataclass(frozen=True)
class Variant:
    """One row of Table 4, or one of the two between B5 and B6 that the paper does not have.

    Attributes:
        perceptual: VGGFace perceptual loss ("Per").
        prior_stream: the stream that predicts P-hat, supervised by the prior loss ("DFP").
        transforms: SSFT before and SFT behind that stream ("FT").
        discriminator: of features, without channel attention ("Dis") or with it ("CA-Dis").
        weighted_prior: prior loss on channel-attention weighted features ("Pr"). Where the
            discriminator has no attention, a second one that has it is trained beside it, by Eq. 6
            like the first; the generator meets it in these weights alone.
    """

    perceptual: bool = False
    prior_stream: bool = False
    transforms: bool = False
    discriminator: Literal["none", "plain", "attention"] = "none"
    weighted_prior: bool = False


VARIANTS: dict[str, Variant] = {  # B6 changes two things at once, b6_ca and b6_prior one each
    "b1": Variant(),
    "b2": Variant(perceptual=True),
    "b3": Variant(prior_stream=True),
    "b4": Variant(prior_stream=True, transforms=True),
    "b5": Variant(prior_stream=True, transforms=True, discriminator="plain"),
    "b6": Variant(
        prior_stream=True, transforms=True, discriminator="attention", weighted_prior=True
    ),
    "b6_ca": Variant(prior_stream=True, transforms=True, discriminator="attention"),
    "b6_prior": Variant(
        prior_stream=True, transforms=True, discriminator="plain", weighted_prior=True
    ),
}


class DFPGNetOptions(Frozen):
    """Block ``methods.dfpgnet`` of params.yaml, overridden by a run's ``options``.

    What the paper leaves open is listed, with its alternatives, in :mod:`dfpg.paper.readings`.
    """

    variant: Literal["b1", "b2", "b3", "b4", "b5", "b6", "b6_ca", "b6_prior"]
    width: Annotated[Width, Field(ge=4)]
    blocks: Depth
    prior_blocks: Depth
    init: Literal["released", "identity"]
    output: Output
    lambda_prior: Weight
    lambda_adversarial: Weight
    lambda_perceptual: Weight
    perceptual_input: PriorInput
    unweighted_prior: bool
    prior_reduction: losses.PriorReduction
    prior_scale: Literal["rms", "none"]
    discriminator_input: Literal["same_scale", "raw"]
    prior_fusion: PriorFusion
    scale_offset: Literal[0, 1]

    @field_validator("output")
    @classmethod
    def _identity_needs_linear_output(cls, value: Output, info: ValidationInfo) -> Output:
        if info.data.get("init") == "identity" and value == "tanh":
            raise ValueError("init identity needs output linear: tanh cannot return its input")
        return value


class Restored(NamedTuple):
    """Output of the generator: image [N, 3, H, W] and P-hat (empty without a prior stream)."""

    image: Tensor
    prior: list[Tensor]


class Add(nn.Module):
    """B3's way from the prior to the decoder: the sum, without parameters (assumed)."""

    def forward(self, feature: Tensor, prior: Tensor) -> Tensor:
        """``feature + prior``."""
        return feature + prior


class Concat(nn.Module):
    """B3's other way (assumed): 1x1 convolution of both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, feature: Tensor, prior: Tensor) -> Tensor:
        """A feature of the same shape as each of the two."""
        out: Tensor = self.merge(torch.cat([feature, prior], dim=1))
        return out


class Generator(nn.Module):
    """Generator G: encoder M_E, prior stream P, decoder M_D (Fig. 2).

    Widths are ``width``, 2 and 4 times ``width``. The prior network's features have 64, 128 and
    256 channels; where the stream is narrower, a 1x1 convolution per level leads from it to the
    supervised P-hat. The decoder takes the stream's own feature. At width 64 there is none.
    """

    def __init__(
        self,
        variant: Variant,
        width: int,
        blocks: int,
        prior_blocks: int,
        prior_fusion: PriorFusion,
        scale_offset: int,
        output: Output,
    ) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        fine, middle, coarse = widths
        self.output = output
        self.from_rgb = nn.Conv2d(3, fine, 3, padding=1)
        self.en1 = ResGroup(fine, blocks)
        self.down1 = nn.Conv2d(fine, middle, 4, stride=2, padding=1)
        self.en2 = ResGroup(middle, blocks)
        self.down2 = nn.Conv2d(middle, coarse, 4, stride=2, padding=1)
        self.en3 = ResGroup(coarse, blocks)
        self.middle = ResGroup(coarse, blocks)
        self.de1 = ResGroup(coarse, blocks)
        self.up1 = nn.ConvTranspose2d(coarse, middle, 4, stride=2, padding=1)
        self.de2 = ResGroup(middle, blocks)
        self.up2 = nn.ConvTranspose2d(middle, fine, 4, stride=2, padding=1)
        self.de3 = ResGroup(fine, blocks)
        self.to_rgb = nn.Conv2d(fine, 3, 1)
        self.prior = nn.ModuleList()
        self.project = nn.ModuleList()
        self.fuse = nn.ModuleList()
        if variant.prior_stream:
            for n, channels in zip(widths, PRIOR_CHANNELS, strict=True):
                group = ResGroup(n, prior_blocks)
                stream = nn.Sequential(SSFT(n, scale_offset), group)
                self.prior.append(stream if variant.transforms else group)
                self.project.append(nn.Identity() if n == channels else nn.Conv2d(n, channels, 1))
                plain = Add() if prior_fusion == "add" else Concat(n)
                self.fuse.append(SFT(n, scale_offset) if variant.transforms else plain)

    def forward(self, blurred: Tensor) -> Restored:
        """Restore [N, 3, H, W] in [-1, 1], H and W multiples of 4."""
        e0 = self.from_rgb(blurred)
        e1 = self.en1(e0)
        e2 = self.en2(self.down1(e1))
        e3 = self.en3(self.down2(e2))
        prior = [stream(e) for stream, e in zip(self.prior, (e1, e2, e3), strict=False)]
        d1 = self.de1(self._fuse(2, self.middle(e3), prior))
        d2 = self.de2(self._fuse(1, self.up1(d1), prior))
        d0 = self.de3(self._fuse(0, self.up2(d2), prior))
        image = self.to_rgb(d0 + e0)
        if self.output == "tanh":
            image = torch.tanh(image)
        return Restored(image, [p(x) for p, x in zip(self.project, prior, strict=True)])

    def _fuse(self, level: int, feature: Tensor, prior: list[Tensor]) -> Tensor:
        if not prior:
            return feature
        out: Tensor = self.fuse[level](feature, prior[level])
        return out

    def start_as_identity(self, seed: int) -> None:
        """Make the untrained network return its input (needs ``output`` linear).

        First and last convolution are orthonormal, and what is added to E_0 before the last one is
        zero: the last up-sampling, the transforms' last layers and the residual branches' are. A
        scale without the offset of 1 keeps its random weights: zero ones would cut the path. In
        B3 with ``add`` the prior feature reaches the sum as a multiple of E_0; the last
        convolution is divided by the whole. The hidden units of the channel attention (at narrow
        widths one per block) start above 0, where their rectifier passes gradients.
        """
        adds = 0.0
        for module in self.modules():
            if isinstance(module, ResBlock):
                zero(module.body[-1])
                nn.init.constant_(cast(Tensor, module.attention.squeeze.bias), 0.1)
            elif isinstance(module, SSFT | SFT):
                if module.offset:
                    zero(module.scale[-1])
                zero(module.shift[-1])
            elif isinstance(module, Concat):
                n = module.merge.out_channels
                zero(module.merge)
                nn.init.eye_(module.merge.weight[:, :n, 0, 0])
            elif isinstance(module, Add):
                adds = 8.0  # each group doubles: en1, the prior group, de3
        zero(self.up2)
        set_orthonormal_ends(self.from_rgb, self.to_rgb, seed, share=1 / (1 + adds))


class Discriminator(nn.Module):
    """Channel-attention feature discriminator D^c, Eq. 5 (Fig. 4a); sizes assumed.

    Its widths follow the prior network's channels, not the generator's width. Every convolution
    has spectral norm and no bias. Without ``attention`` it is that of B5.
    """

    def __init__(self, attention: bool) -> None:
        super().__init__()
        one, two, three = PRIOR_CHANNELS
        self.attention = nn.ModuleList(
            ChannelAttention(n) if attention else nn.Identity() for n in PRIOR_CHANNELS
        )
        self.features = nn.ModuleList(
            [
                self._conv(one, one, 2),
                self._conv(one + two, two, 2),
                self._conv(two + three, three, 2),
            ]
        )
        self.head = nn.Sequential(
            self._conv(three, 2 * three, 1), nn.Conv2d(2 * three, 1, 4, padding=1, bias=False)
        )

    @staticmethod
    def _conv(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 4, stride=stride, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
        )

    def normalise_spectra(self, seed: int) -> None:
        """Put spectral norm on all convolutions outside the attention; once, when initialised."""
        with torch.random.fork_rng(devices=[]):  # the first singular vectors are guessed at random
            torch.manual_seed(derive_seed(seed, "init", "spectral"))
            for part in (self.features, self.head):
                for layer in part.modules():
                    if isinstance(layer, nn.Conv2d):
                        spectral_norm(layer)

    def forward(self, prior: Sequence[Tensor]) -> Tensor:
        """Logits [N, 1, h, w], high for a prior of sharp images."""
        weighted = [ca(p) for ca, p in zip(self.attention, prior, strict=True)]
        f1 = self.features[0](weighted[0])
        f2 = self.features[1](torch.cat([weighted[1], f1], dim=1))
        f3 = self.features[2](torch.cat([weighted[2], f2], dim=1))
        logits: Tensor = self.head(f3)
        return logits


@contextmanager
def watch_transforms(generator: Generator) -> Iterator[dict[str, Tensor]]:
    """``transform_spread`` [N] of every SSFT and SFT that is used meanwhile, by its name."""
    found: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record_spread(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            feature, condition = given[0], given[-1]
            transform = cast(SFT, module)
            scale, shift = transform.scale(condition), transform.shift(condition)
            size = feature.square().mean(dim=(1, 2, 3)).sqrt().clamp_min(losses.EPSILON)
            spreads = [part.std(dim=(2, 3)).mean(dim=1) for part in (scale, shift)]
            found[f"transform_spread.{name}"] = torch.hypot(spreads[0], spreads[1] / size)

        return record_spread

    handles = []
    for level, (stream, fuse) in enumerate(zip(generator.prior, generator.fuse, strict=True), 1):
        if isinstance(fuse, SFT):
            self_transform = cast(nn.Sequential, stream)[0]
            handles.append(self_transform.register_forward_pre_hook(watch(f"ssft{level}")))
            handles.append(fuse.register_forward_pre_hook(watch(f"sft{level}")))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


class DFPGNet(Method):
    """DFPGnet and its ablations: networks, losses (Eq. 6 to 10) and their order."""

    Options = DFPGNetOptions
    options: DFPGNetOptions
    multiple = 4
    earlier_options: ClassVar = {
        "unweighted_prior": True,
        "discriminator_input": "raw",
        "scale_offset": 1,
    }
    gradient_parts: ClassVar = {
        "encoder": ("from_rgb", "en1", "down1", "en2", "down2", "en3"),
        "prior": ("prior",),
    }
    system = System("DFPGnet", "Jung et al., WACV", 2022, weights="none published; read")
    # x 0.99 per epoch (paper section 4.1); 200 epochs are the same laboratory's.
    recipe = Recipe(Schedule(shape="exponential", factor=0.99, times=200))
    contract = Contract(
        small={
            "variant": "b6",
            "width": 8,
            "blocks": 1,
            "prior_blocks": 1,
            "init": "identity",
            "output": "linear",
            "lambda_prior": 1.0,
            "lambda_adversarial": 0.05,
            "lambda_perceptual": 0.05,
            "perceptual_input": "authors",
            "unweighted_prior": True,
            "prior_reduction": "mean_chw",
            "prior_scale": "rms",
            "discriminator_input": "same_scale",
            "prior_fusion": "add",
            "scale_offset": 1,
        },
        full={"width": 64, "blocks": 5, "prior_blocks": 10, "init": "released", "output": "tanh"},
        parameters={"generator": 44_661_379, "discriminator": 4_148_188},
        l1={"variant": "b1"},
        lr=3e-3,
    )

    def __init__(self, name: str, options: DFPGNetOptions, setting: Setting) -> None:
        super().__init__(name, options, setting)
        self.variant = VARIANTS[options.variant]
        generator = Generator(
            self.variant,
            options.width,
            options.blocks,
            options.prior_blocks,
            options.prior_fusion,
            options.scale_offset,
            options.output,
        )
        if options.init == "identity":
            initialise(generator, setting.seed, scale=1.0)
            generator.start_as_identity(setting.seed)
        else:
            initialise(generator, setting.seed, scale=0.1)
        self.networks["generator"] = generator
        if setting.prior is not None:
            if self.variant.discriminator != "none":
                own = Discriminator(self.variant.discriminator == "attention")
                self.networks["discriminator"] = own
            if self.variant.weighted_prior and self.variant.discriminator == "plain":
                self.networks["attention_discriminator"] = Discriminator(attention=True)
            for discriminator in self._discriminators().values():
                initialise(discriminator, setting.seed, scale=1.0)
                discriminator.normalise_spectra(setting.seed)

    @classmethod
    def needs_prior(cls, options: DFPGNetOptions) -> bool:
        """All but B1 look at the prior network's features, and B3 and B4 without a prior loss."""
        variant = VARIANTS[options.variant]
        supervised = variant.weighted_prior or options.unweighted_prior
        prior = variant.prior_stream and (supervised or variant.discriminator != "none")
        return variant.perceptual or prior

    def _discriminators(self) -> dict[str, Discriminator]:
        return {
            name: network
            for name, network in self.networks.items()
            if isinstance(network, Discriminator)
        }

    def _weighing_discriminator(self) -> Discriminator | None:
        """The one whose channel attention weighs the prior loss."""
        if not self.variant.weighted_prior:
            return None
        found = self._discriminators()
        return found.get("attention_discriminator", found["discriminator"])

    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image, not yet clamped."""
        image: Tensor = self.networks["generator"](blurred).image
        return image

    def phases(self, batch: Batch) -> Iterator[Phase]:
        """D, then G; both look at one pass of the generator."""
        restored: Restored = self.networks["generator"](batch.blurred)
        compared = self.variant.prior_stream and self.needs_prior(self.options)
        target = self.target_prior(batch.sharp) if compared else []
        for name in self._discriminators():
            made = [level.detach() for level in restored.prior]
            real, fake = self._discriminate(name, target, made)
            start = "d" if name == "discriminator" else "attention_d"
            figures = {
                f"{start}_real": real.detach().sigmoid().mean(),
                f"{start}_fake": fake.detach().sigmoid().mean(),
            }
            yield Phase(name, losses.discriminator_loss(real, fake), figures)
        yield Phase.of("generator", self.generator_losses(batch, restored, target))

    def _discriminate(
        self, name: str, target: list[Tensor], prior: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits of D(P) and D(P-hat), [N, 1, h, w] each."""
        # No layer mixes the images of a batch: one pass over both is two passes.
        pairs = zip(self.discriminator_input(target), self.discriminator_input(prior), strict=True)
        both = [torch.cat([real, fake.float()]) for real, fake in pairs]
        real, fake = self.networks[name](both).float().chunk(2)
        return real, fake

    def discriminator_scores(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Mean logits of D(P) and D(P-hat)."""
        if "discriminator" not in self.networks:
            return None
        prior = self.networks["generator"](batch.blurred).prior
        target = self.target_prior(batch.sharp)
        real, fake = self._discriminate("discriminator", target, prior)
        return real.mean(dim=(1, 2, 3)), fake.mean(dim=(1, 2, 3))

    def mechanisms(self, batch: Batch) -> dict[str, Tensor]:
        """What the prior stream, the transforms and the channel attention do, level by level.

        ``prior_cosine``: cosine similarity of P-hat and P, mean over positions;
        ``prior_cosine_gain``: how much more that is than the blurred image's own features have. A
        prior loss with channel weights asks for the important channels alone (section 3.4), so that
        all features are weighted like P there; ``prior_cosine_gain_unweighted`` has all alike;
        ``transform_spread``: standard deviation over positions of a transform's scale and, in
        units of the feature's root mean square, its shift, mean over channels;
        ``attention_spread``: standard deviation over channels of the weights of P;
        ``attention_stability``: their correlation with the mean weights of the batch.
        """
        generator = cast(Generator, self.networks["generator"])
        if not len(generator.prior) or self.setting.prior is None:
            return {}
        with watch_transforms(generator) as found:
            restored: Restored = generator(batch.blurred)
        target, plain = self.target_prior(batch.sharp), self.target_prior(batch.blurred)
        weighing = self._weighing_discriminator()
        for level, (made, truth, blurred) in enumerate(
            zip(restored.prior, target, plain, strict=True), 1
        ):
            found[f"prior_cosine.{level}"] = cosine(made, truth)
            gain = cosine(made, truth) - cosine(blurred, truth)
            if weighing is not None:
                found[f"prior_cosine_gain_unweighted.{level}"] = gain
                weights = weighing.attention[level - 1].weights(truth)  # type: ignore[operator]
                important = truth * weights
                gain = cosine(made * weights, important) - cosine(blurred * weights, important)
            found[f"prior_cosine_gain.{level}"] = gain
        for network in self.networks.values():
            attention = network.attention if isinstance(network, Discriminator) else ()
            for level, (weigher, truth) in enumerate(zip(attention, target, strict=False), 1):
                if isinstance(weigher, ChannelAttention):
                    weights = weigher.weights(truth).flatten(1)
                    found[f"attention_spread.{level}"] = weights.std(dim=1)
                    found[f"attention_stability.{level}"] = correlation(weights, weights.mean(0))
        return found

    def generator_losses(
        self, batch: Batch, restored: Restored, target: list[Tensor]
    ) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of the terms of Eq. 10 (and of B2's perceptual loss) that apply.

        The discriminator and its channel attention get no gradient from them (Fig. 4b).
        """
        options, variant = self.options, self.variant
        parts = {"pixel": (1.0, losses.pixel_loss(restored.image, batch.sharp))}
        if variant.perceptual:
            parts["perceptual"] = (options.lambda_perceptual, self._perceptual(batch, restored))
        predicted = restored.prior
        if variant.discriminator != "none":
            predicted, target = (
                self.discriminator_input(predicted),
                self.discriminator_input(target),
            )
            discriminator = self.networks["discriminator"]
            with freeze(discriminator):
                adversarial = losses.adversarial_loss(discriminator(predicted))
            parts["adversarial"] = (options.lambda_adversarial, adversarial)
        if variant.weighted_prior or (variant.prior_stream and options.unweighted_prior):
            parts["prior"] = (options.lambda_prior, self._prior_loss(predicted, target))
        return parts

    @torch.no_grad()
    def target_prior(self, sharp: Tensor) -> list[Tensor]:
        """Ground-truth prior P of sharp images [N, 3, H, W] in [-1, 1].

        With ``prior_scale: rms`` every level of every image has root mean square 1 (assumed): how
        large the features are depends on the prior network and its input, and D would otherwise
        tell P from P-hat by size alone. The prior loss is normalised in any case. ``none`` leaves
        the features as they are, as the paper's text does.
        """
        features = self._features(sharp, self.setting.prior_taps, self.setting.prior_input)
        return losses.unit_scale(features) if self.options.prior_scale == "rms" else features

    def discriminator_input(self, prior: list[Tensor]) -> list[Tensor]:
        """Input of D and of its channel attention, made of P or P-hat (assumed).

        With ``discriminator_input: same_scale`` every level of both has root mean square 1. The
        paper gives D both as they are (``raw``), and never says how large they are: the prior loss
        is blind to the size of P-hat, so that D tells it from P by that alone, and the generator
        learns nothing else from it.
        """
        return losses.unit_scale(prior) if self.options.discriminator_input != "raw" else prior

    def _prior_loss(self, predicted: list[Tensor], target: list[Tensor]) -> Tensor:
        """Eq. 9, with channel weights where the variant has them.

        The channel attention gets what it was trained on: :meth:`discriminator_input`. Without it
        the loss is blind to the size of the features.
        """
        reduction = self.options.prior_reduction
        weighing = self._weighing_discriminator()
        if weighing is None:
            return losses.prior_loss(predicted, target, None, reduction)
        with freeze(weighing):
            return losses.prior_loss(predicted, target, list(weighing.attention), reduction)

    def _perceptual(self, batch: Batch, restored: Restored) -> Tensor:
        taps, values = [PERCEPTUAL_TAP], self.options.perceptual_input
        with torch.no_grad():
            truth = self._features(batch.sharp, taps, values)
        return losses.perceptual_loss(self._features(restored.image, taps, values), truth)

    def _features(self, images: Tensor, taps: Sequence[str], values: PriorInput) -> list[Tensor]:
        if self.setting.prior is None:
            raise ValueError(f"{self.name} was built for inference: it has no prior network")
        return self.setting.prior.features(images, taps, values)

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:
        """Width and numbers of blocks; variants b4, b5 and b6 have the same generator."""
        state = read_state(path, ACCEPTED)
        return {
            "variant": "b6",
            "width": axis_length(path, state, "from_rgb.weight", 0, ACCEPTED),
            "blocks": count_numbers(state, r"en1\.0\.main\.(\d+)\."),
            "prior_blocks": count_numbers(state, r"vggf1\.1\.main\.(\d+)\."),
            "init": "released",
            "output": "tanh",
        }

    def load_official(self, path: Path) -> None:
        """Load a generator of the laboratory's: a PyTorch state dict with its code's names.

        Raises:
            UserError: missing, damaged, another layout, or of other options.
        """
        load_one_file(self, path, NAMES, ACCEPTED, output="tanh", scale_offset=1)
