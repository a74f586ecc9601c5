"""How one run is trained: its system's own recipe where that says something, else the profile's."""

from __future__ import annotations

from dataclasses import dataclass

from dfpg.core.config import Config
from dfpg.core.schedule import Schedule, learning_rate, training_steps
from dfpg.methods.base import Method


@dataclass(frozen=True)
class TrainingRecipe:
    """What the loop follows.

    Attributes:
        steps: of the whole run.
        schedule: of the learning rates.
        warmup: share of the steps in which the rates rise.
        clip: bound on the L2 norm of the gradient; None: there is none.
        ema: decay of the moving average that becomes the result; 0: the last weights do.
    """

    steps: int
    schedule: Schedule
    warmup: float
    clip: float | None
    ema: float

    def rate(self, step: int) -> float:
        """Learning rate of a step (0, 1, ...), as a factor of the run's rate."""
        return learning_rate(self.schedule, self.warmup, step, self.steps)


def resolve_recipe(config: Config, run_name: str, method: type[Method]) -> TrainingRecipe:
    """Recipe of a run.

    The schedule is the run's, else the profile's, else the method's. Clipping and averaging are the
    method's where it has them, else the profile's.

    Args:
        config: the whole configuration.
        run_name: key under ``runs``.
        method: class of the run's method.
    """
    training, own = config.training, method.recipe
    return TrainingRecipe(
        steps=training_steps(config, run_name),
        schedule=config.runs[run_name].schedule or training.schedule or own.schedule,
        warmup=training.warmup,
        clip=training.clip if own.clip is None else own.clip,
        ema=training.ema if own.ema is None else own.ema,
    )
