"""What a method's class says of itself besides its networks and its objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dfpg.core.schedule import Schedule

Options = Mapping[str, Any]
COSINE = Schedule(shape="cosine")


@dataclass(frozen=True)
class System:
    """The published system that a method is.

    Attributes:
        title: its name in print.
        paper: authors and venue.
        year: of the paper.
        weights: the licence of the weights that its authors published, and whether a run's
            ``weights`` can name them.
    """

    title: str
    paper: str
    year: int
    weights: str


@dataclass(frozen=True)
class Recipe:
    """How a system is trained, as far as its paper or its code says.

    Attributes:
        schedule: of its learning rates; without one of its own a cosine to zero (assumed).
        clip: bound on the L2 norm of the gradient; None: the profile's.
        ema: decay of the moving average of its weights; None: the profile's.
    """

    schedule: Schedule = COSINE
    clip: float | None = None
    ema: float | None = None


@dataclass(frozen=True)
class Contract:
    """How ``tests/methods/test_contract.py`` puts the common contract to a method.

    Attributes:
        small: all options, at a small width, for images of 32 px.
        full: changes of ``small`` that make it the published size.
        parameters: published counts by path: a network's name, or a module inside it
            ("generator.segmentation").
        image_size: side in px that ``parameters`` holds at.
        identity: changes of ``small`` with which step 0 returns its input; None: there are none.
        l1: changes of ``small`` that train on the plain L1 distance; None: there are none.
        sees_sharp: the objective sees the sharp image of the blurred one.
        falling: figures that fall in training, where the objective does not see it.
        lr: learning rate of all networks in the contract's trainings.
        steps: number of steps of those trainings.
        quick: its training is part of the default test run.
    """

    small: Options
    full: Options
    parameters: Mapping[str, int]
    image_size: int = 128
    identity: Options | None = field(default_factory=lambda: {"init": "identity"})
    l1: Options | None = field(default_factory=lambda: {"objective": "l1"})
    sees_sharp: bool = True
    falling: tuple[str, ...] = ()
    lr: float = 1e-3
    steps: int = 300
    quick: bool = False
