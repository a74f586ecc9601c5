"""Whether a training explodes while every loss is still finite."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from statistics import median

from dfpg.core.errors import UserError

MAX_DROP = 3.0  # dB below the best validation gain
MAX_RATIO = 20.0  # a loss over the median of its recent values
WINDOW = 100  # values of a loss whose median is taken
MIN_VALUES = 20  # values before a loss is compared with their median


class ExplodedError(UserError):
    """A training exploded a second time."""


@dataclass
class Guard:
    """What the checks need to remember of a training so far; plain values.

    Attributes:
        best: highest validation gain, dB; None before the first.
        recent: latest values of each loss, apart for each set of figures that came with it: other
            terms (a penalty every sixteenth step, the objective's next phase) make another size.
        exploded_at: step from which the training was taken back to its last checkpoint, once.
    """

    best: float | None = None
    recent: dict[str, list[float]] = field(default_factory=dict)
    exploded_at: int | None = None

    @property
    def factor(self) -> float:
        """Of the learning rates: half after the training exploded."""
        return 1.0 if self.exploded_at is None else 0.5

    def start_again(self, exploded_at: int) -> None:
        """Note the explosion; earlier losses are no measure of what follows."""
        self.exploded_at = exploded_at
        self.recent = {}

    def check_losses(
        self, figures: Mapping[str, float], discriminators: Collection[str] = ()
    ) -> str:
        """Take in a step's figures; in words, which loss explodes, or nothing.

        Those of discriminators are left out: near 0 they may grow many times and harm nothing.

        Args:
            figures: as :func:`dfpg.training.step.training_step` gives them.
            discriminators: names of their optimisers, see
                :func:`dfpg.training.step.discriminator_optimisers`.
        """
        kind = " ".join(sorted(figures))
        exempt = {f"loss_{name}" for name in discriminators}
        for name, value in figures.items():
            if not name.startswith("loss_") or name in exempt:
                continue
            recent = self.recent.setdefault(f"{name} of {kind}", [])
            usual = abs(median(recent)) if len(recent) >= MIN_VALUES else 0.0
            if usual and value > MAX_RATIO * usual:
                return f"{name} is {value:.3g}, over {MAX_RATIO:g} times its median of {usual:.3g}"
            recent.append(value)
            del recent[:-WINDOW]
        return ""

    def check_gain(self, gain: float) -> str:
        """Take in a validation gain in dB; in words, how far it fell, or nothing.

        A network that was never near doing nothing (a gain of 0) has nothing to lose yet.
        """
        best = gain if self.best is None else self.best
        self.best = max(best, gain)
        if best > -MAX_DROP and gain < best - MAX_DROP:
            return f"the validation gain fell from {best:.2f} to {gain:.2f} dB"
        return ""
