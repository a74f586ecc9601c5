"""What training loop and evaluation know of a method: networks and objective in one object."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Frozen
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write
from dfpg.core.seeds import derive_seed

PriorInput = Literal["canonical", "lab"]


class Batch(Protocol):
    """What a method may read of a training batch (``dfpg.training.batches.Batch``)."""

    @property
    def sharp(self) -> Tensor:
        """Ground truth I_GT, float [N, 3, H, W] in [-1, 1]."""

    @property
    def blurred(self) -> Tensor:
        """Input I_blur, float [N, 3, H, W] in [-1, 1]."""


class PriorFeatures(Protocol):
    """The frozen recognition network (``dfpg.pretrained.vggface.PriorNetwork``)."""

    def features(self, images: Tensor, taps: Sequence[str], input: PriorInput) -> list[Tensor]:
        """Features of RGB images in [-1, 1] at the named layers."""

    def to(self, device: torch.device) -> Any:
        """Move to ``device``, in place."""


@dataclass(frozen=True)
class Setting:
    """What a method needs to know beyond its own options.

    ``prior`` is None where only ``restore`` is wanted.
    """

    image_size: int
    seed: int
    prior: PriorFeatures | None
    prior_taps: tuple[str, ...]
    prior_input: PriorInput


@dataclass(frozen=True)
class Phase:
    """One optimiser step: the loop back-propagates ``loss`` and steps the optimiser so named.

    ``figures`` are detached scalars for the run's history.
    """

    optimiser: str
    loss: Tensor
    figures: dict[str, Tensor]


class Method(ABC):
    """Networks and training objective of one system.

    A subclass sets ``Options`` and ``multiple`` and fills ``networks`` in its constructor, which
    takes its name in the registry, validated options and a :class:`Setting`. Everything that
    ``restore`` needs is part of ``networks["generator"]``: only that is stored as weights.
    Published weights are read by ``load_official`` where a subclass has one.
    """

    Options: ClassVar[type[Frozen]]
    options: Frozen
    multiple: ClassVar[int]  # H and W that the generator takes are multiples of this, px
    view: ClassVar[str] = "plain"  # its training batches, see dfpg.training.batch_views

    def __init__(self, name: str, options: Frozen, setting: Setting) -> None:
        self.name = name
        self.options = options
        self.setting = setting
        self.networks: dict[str, nn.Module] = {}

    @classmethod
    def needs_prior(cls, _options: Any) -> bool:
        """Whether training with these options uses the prior network."""
        return False

    @abstractmethod
    def phases(self, batch: Batch) -> Iterator[Phase]:
        """Losses of one training step, in the order of their optimiser steps."""

    @abstractmethod
    def infer(self, blurred: Tensor) -> Tensor:
        """Restored image of [N, 3, H, W] in [-1, 1], H and W multiples of ``multiple``."""

    @classmethod
    def official_options(cls, path: Path) -> dict[str, Any]:  # noqa: ARG003
        """Options of this method that a file of published weights needs, as far as it shows them.

        Args:
            path: the user's file or folder.

        Raises:
            UserError: in a subclass: missing, damaged, or another layout.
        """
        return {}

    def load_official(self, path: Path) -> None:
        """Load the authors' published weights into ``networks["generator"]``.

        A subclass that can read them says which layout it accepts, checks every layer's name,
        shape and values, and leaves the generator as it was where it refuses the file.

        Args:
            path: the user's file or folder.

        Raises:
            UserError: this method reads no published weights; in a subclass: missing, damaged,
                another layout, or of other options than the method's.
        """
        raise UserError(
            f"{path}: {self.name} reads no published weights: "
            "take `weights` out of its run in params.yaml to train it"
        )

    def optimisers(self, lr: float, lr_discriminator: float) -> dict[str, torch.optim.Optimizer]:
        """Adam, beta (0.9, 0.999), one per network; ``lr`` is the generator's."""
        rates = {name: lr if name == "generator" else lr_discriminator for name in self.networks}
        return {
            name: torch.optim.Adam(network.parameters(), lr=rates[name], fused=True)
            for name, network in self.networks.items()
        }

    def to(self, device: torch.device) -> Self:
        """Move networks (channels_last) and the prior network to ``device``, in place."""
        for network in self.networks.values():
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.setting.prior is not None:
            self.setting.prior.to(device)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set all networks to training or evaluation mode."""
        for network in self.networks.values():
            network.train(mode)
        return self

    @torch.no_grad()
    def restore(self, blurred: Tensor) -> Tensor:
        """Deblur images of any size.

        Args:
            blurred: float [N, 3, H, W] in [-1, 1]; reflected at the border up to a multiple of
                ``multiple``.

        Returns:
            Float32 [N, 3, H, W], clamped to [-1, 1].

        Raises:
            UserError: the image is too small to be reflected.
        """
        height, width = blurred.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        if bottom >= height or right >= width:
            raise UserError(
                f"image of {width}x{height} px is too small for {self.name}: "
                f"give at least {self.multiple}x{self.multiple}"
            )
        generator = self.networks["generator"]
        training = generator.training
        generator.eval()
        try:
            if bottom or right:
                blurred = F.pad(blurred, (0, right, 0, bottom), mode="reflect")
            restored = self.infer(blurred)[..., :height, :width]
        finally:
            generator.train(training)
        return restored.float().clamp(-1, 1)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Losses built inside give no gradient to the network's parameters, only to its inputs."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def initialise(network: nn.Module, seed: int, scale: float) -> None:
    """Kaiming normal (fan_in, a = 0) times ``scale`` for convolutions and linear layers, zero bias.

    Each layer draws from a stream named by its own name, so that two networks that share a layer
    (the ablations) start from the same weights there.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            stream = torch.Generator().manual_seed(derive_seed(seed, "init", name))
            nn.init.kaiming_normal_(layer.weight, a=0, mode="fan_in", generator=stream)
            with torch.no_grad():
                layer.weight.mul_(scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def zero(layer: nn.Module) -> None:
    """Set all parameters of a layer to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def orthonormal_ends(first: nn.Conv2d, last: nn.Conv2d, seed: int, share: float = 1.0) -> None:
    """Make ``last(first(x)) = share * x``: orthonormal columns in the centre tap, then transposed.

    Args:
        first: convolution 3 -> n with odd kernel.
        last: 1x1 convolution n -> 3.
        seed: the run's seed.
        share: factor of the product.
    """
    stream = torch.Generator().manual_seed(derive_seed(seed, "init", "orthonormal"))
    columns = nn.init.orthogonal_(first.weight.new_empty(first.out_channels, 3), generator=stream)
    centre = first.kernel_size[0] // 2
    zero(first)
    zero(last)
    with torch.no_grad():
        first.weight[:, :, centre, centre] = columns
        last.weight[:, :, 0, 0] = share * columns.T


@dataclass(frozen=True)
class WeightsCard:
    """What a weights file says of itself.

    ``official`` is the SHA-256 of the published file or folder that the weights come from
    (``dfpg.methods.official.digest``), None where they were trained here.
    """

    method: str
    options: dict[str, Any]
    image_size: int
    steps: int
    official: str | None = None


def save_weights(
    path: Path,
    method: Method,
    steps: int,
    state: Mapping[str, Tensor] | None = None,
    official: str | None = None,
) -> None:
    """Store a generator as safetensors, atomically; equal weights give equal bytes.

    Args:
        path: file to write.
        method: whose generator it is.
        steps: training steps behind the weights.
        state: the generator's state if not the current one (e.g. its moving average).
        official: see :class:`WeightsCard`.
    """
    if state is None:
        state = method.networks["generator"].state_dict()
    card = {
        "method": method.name,
        "options": method.options.model_dump(mode="json"),
        "image_size": method.setting.image_size,
        "steps": steps,
        "official": official,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    # One metadata key: safetensors writes several in arbitrary order, and DVC compares bytes.
    # The order of the options' keys is kept: networks are built in it.
    data = save(tensors, metadata={"dfpg": json.dumps(card)})
    with atomic_write(path) as stream:
        stream.write(data)


def read_card(path: Path) -> WeightsCard:
    """Read what :func:`save_weights` recorded beside the weights.

    Raises:
        UserError: missing, damaged, or not written by this suite.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        return WeightsCard(**json.loads(metadata["dfpg"]))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such weights; train the run first") from error
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: damaged weights ({error}); train the run again") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not weights of this suite; train the run again") from error


def load_weights(path: Path, method: Method) -> WeightsCard:
    """Load a generator stored by :func:`save_weights` into ``method``, strictly.

    Raises:
        UserError: as :func:`read_card`; or the file holds another method or other layers, or
            values that are not finite.
    """
    card = read_card(path)
    if card.method != method.name:
        raise UserError(f"{path}: weights of {card.method}, not of {method.name}")
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    network = method.networks["generator"]
    expected = network.state_dict()
    for name in sorted(expected.keys() | state.keys()):
        if name not in state or name not in expected:
            where = "missing from" if name not in state else "unexpected in"
            raise UserError(f"{path}: {name} is {where} the file: its options do not fit")
        if state[name].shape != expected[name].shape:
            found, wanted = list(state[name].shape), list(expected[name].shape)
            raise UserError(f"{path}: {name} is {found}, expected {wanted}: its options do not fit")
        if not math.isfinite(float(state[name].abs().sum())):
            raise UserError(f"{path}: {name} is not finite; train the run again")
    network.load_state_dict(state)
    return card
