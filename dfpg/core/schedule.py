"""Course of a training: how many steps, and the learning rate at each of them.

A schedule is stated in shares of the run, so that it means the same at every budget. Each method's
class holds its system's own (``dfpg.methods.card.Recipe``); a profile or a run may have another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from dfpg.core.params_base import Frozen, Share

if TYPE_CHECKING:
    from dfpg.core.config import Config

EPSILON = 1e-9  # a change at share 0.07 of 100 steps comes at step 7, whatever 7 / 100 rounds to

Shape = Literal["constant", "step", "cosine", "linear", "exponential"]
Part = Annotated[float, Field(ge=0, lt=1, description="a share of the run, less than all of it")]
Factor = Annotated[
    float, Field(gt=0, le=1, description="of the learning rate, which a schedule only lowers")
]
Drop = Annotated[tuple[Part, Factor], Field(strict=False)]  # YAML has lists
USED: dict[Shape, set[str]] = {  # settings that have a meaning with a shape
    "constant": set(),
    "step": {"drops"},
    "cosine": {"constant", "final"},
    "linear": {"constant", "final"},
    "exponential": {"constant", "factor", "times"},
}


class Schedule(Frozen):
    """Learning rate over a run, as a factor of the run's rate.

    Attributes:
        shape: ``constant`` is 1 throughout; the others start at 1.
        constant: share of the run, at its start, at factor 1; the shape spans the rest.
        final: what ``cosine`` and ``linear`` reach at the end of the run.
        factor: of ``exponential``, for each of ``times`` equal parts of the rest after the first.
        times: as above.
        drops: of ``step``: from which share of the run on the rate has which factor.
    """

    shape: Shape
    constant: Part = 0.0
    final: Share = 0.0
    factor: Factor = 1.0
    times: Annotated[
        int, Field(ge=1, le=10_000, description="the longest published schedule has 5,000 epochs")
    ] = 1
    drops: Annotated[tuple[Drop, ...], Field(min_length=1, max_length=100, strict=False)] = ()

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        """Refuse a setting that its shape does not use, and one that it lacks."""
        if strange := sorted(self.model_fields_set - USED[self.shape] - {"shape"}):
            raise ValueError(f"{', '.join(strange)} means nothing where shape is {self.shape}")
        shares = [share for share, _ in self.drops]
        if self.shape == "step" and (not shares or shares != sorted(set(shares))):
            raise ValueError("drops: give one or more, each later than the one before")
        if self.shape == "exponential" and {"factor", "times"} - self.model_fields_set:
            raise ValueError("exponential needs factor and times")
        return self


def rate_factor(schedule: Schedule, share: float) -> float:
    """Learning rate at a share of the run, as a factor of the run's rate.

    Args:
        schedule: see :class:`Schedule`.
        share: part of the run that lies behind, from 0 (first step) to 1 (its end).

    Returns:
        Between 0 and 1.
    """
    rest = max(0.0, (share - schedule.constant) / (1 - schedule.constant))
    return SHAPES[schedule.shape](schedule, share, rest)


def _step(schedule: Schedule, share: float, _: float) -> float:
    passed = [factor for start, factor in schedule.drops if start <= share + EPSILON]
    return passed[-1] if passed else 1.0


def _cosine(schedule: Schedule, _: float, rest: float) -> float:
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * rest)) / 2


def _linear(schedule: Schedule, _: float, rest: float) -> float:
    return 1 - (1 - schedule.final) * rest


def _exponential(schedule: Schedule, _: float, rest: float) -> float:
    part = min(math.floor(rest * schedule.times + EPSILON), schedule.times - 1)
    return schedule.factor**part


SHAPES: dict[Shape, Callable[[Schedule, float, float], float]] = {
    "constant": lambda *_: 1.0,
    "step": _step,
    "cosine": _cosine,
    "linear": _linear,
    "exponential": _exponential,
}


def learning_rate(schedule: Schedule, warmup: float, step: int, steps: int) -> float:
    """Learning rate of a step, as a factor of the run's rate: the schedule after a linear rise.

    Args:
        schedule: see :class:`Schedule`.
        warmup: share of the run's steps in which the rate rises to the schedule.
        step: from 0 to ``steps`` - 1.
        steps: of the whole run.
    """
    rising = warmup * steps
    rise = min(1.0, (step + 1) / rising) if rising else 1.0
    return rise * rate_factor(schedule, step / steps)


def training_steps(config: Config, run_name: str) -> int:
    """Steps of ``training.batch_size`` images that a run needs to see its ``images``.

    The last step may bring more than that. 0 where the run takes published weights.
    """
    run = config.runs[run_name]
    return -(-run.images // config.training.batch_size) if run.weights is None else 0
