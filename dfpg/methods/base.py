"""What training loop and evaluation know of a method: networks and objective in one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.config import Frozen
from dfpg.core.errors import UserError
from dfpg.methods.batch import Batch
from dfpg.methods.card import Contract, Recipe, System

PriorInput = Literal["canonical", "authors"]
Terms = Mapping[str, tuple[float, Tensor]]  # of a loss: name -> weight and value, a scalar


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

    ``figures`` are detached scalars for the run's history; ``terms`` are the parts of the loss with
    their weights and their graph, where they are known.
    """

    optimiser: str
    loss: Tensor
    figures: dict[str, Tensor]
    terms: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, optimiser: str, terms: Terms) -> Self:
        """Phase whose loss is the weighted sum of ``terms``, and whose figures are the terms.

        A term of weight 0 counts among the figures alone.
        """
        weighted = {name: weight * term for name, (weight, term) in terms.items()}
        figures = {name: term.detach() for name, (_, term) in terms.items()}
        parts = {name: weighted[name] for name, (weight, _) in terms.items() if weight}
        return cls(optimiser, torch.stack([*weighted.values()]).sum(), figures, parts)


class Method(ABC):
    """Networks and training objective of one system.

    A subclass sets ``system``, ``contract``, ``Options`` and ``multiple``, and ``recipe`` where its
    paper gives one, and fills ``networks`` in its constructor, which takes its name, validated
    options and a :class:`Setting`. Everything
    that ``restore`` needs is part of ``networks["generator"]``: only that is stored as weights,
    without its ``encoder``.
    Published weights are read by ``load_official`` where a subclass has one.
    """

    system: ClassVar[System]
    contract: ClassVar[Contract]
    recipe: ClassVar[Recipe] = Recipe()
    Options: ClassVar[type[Frozen]]
    options: Frozen
    multiple: ClassVar[int]  # H and W that the generator takes are multiples of this, px
    # Part of the generator that is the prior network as it is: that has a file of its own.
    encoder: ClassVar[str | None] = None
    view: ClassVar[str] = "plain"  # its training batches, see dfpg.training.batch_views
    # Options that weights files of earlier versions do not state, as they were then.
    earlier_options: ClassVar[Mapping[str, Any]] = {}
    # Modules of the generator whose gradient the history shares out among the loss terms, by part.
    gradient_parts: ClassVar[Mapping[str, tuple[str, ...]]] = {"generator": ("",)}

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

    def discriminator_scores(self, _batch: Batch) -> tuple[Tensor, Tensor] | None:
        """How real the discriminator finds what is real and what the generator made.

        Returns:
            Mean logits [N] of the real and of the made inputs of the batch's images, higher for
            real ones; None without a discriminator.
        """
        return None

    def mechanisms(self, _batch: Batch) -> dict[str, Tensor]:
        """How far the method's parts are seen working, measured after training on other people.

        Args:
            _batch: of people that the method is not trained on; in evaluation mode, no gradients.

        Returns:
            Values [N], one per image, by ``measure`` or ``measure.part``; those that claims rest on
            are in :mod:`dfpg.paper.mechanisms`.
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
