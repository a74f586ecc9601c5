"""What a claim takes for granted: parts of a network that have to be seen working.

A comparison of two networks says nothing of a part that does nothing. Each mechanism is measured on
validation people, whom no training has seen (``results/mechanisms.csv``), and is at work where the
interval of its measure lies beyond a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Presupposition(NamedTuple):
    """A run, and the mechanism that has to be at work in it."""

    run: str
    mechanism: str


@dataclass(frozen=True)
class Mechanism:
    """One mechanism.

    Attributes:
        meaning: what is seen where it works.
        measure: in ``results/mechanisms.csv``; every part of it has to be above the bound.
        bound: in the measure's unit.
        reason: why the bound is this one.
    """

    meaning: str
    measure: str
    bound: float
    reason: str


MECHANISMS = {
    "discriminator": Mechanism(
        "the discriminator can tell the sharp face's features from the predicted ones",
        "discriminator_auc",
        0.5,
        "chance",
    ),
    "prior-predicted": Mechanism(
        "the prior stream's prediction is closer to the sharp face's features than the blurred "
        "face's own features are",
        "prior_cosine_gain",
        0.0,
        "the features of the blurred image need no prior stream; weighted as the prior loss weighs",
    ),
    "prior-transforms": Mechanism(
        "scale and shift of the feature transforms differ from place to place",
        "transform_spread",
        0.01,
        "a hundredth of the features that they change",
    ),
    "channel-attention": Mechanism(
        "the discriminator's channel attention weighs channels differently",
        "attention_spread",
        0.01,
        "weights lie between 0 and 1; equal weights are no attention",
    ),
    "loss-balance": Mechanism(
        "every term of the loss has a part in the generator's gradient",
        "gradient_share",
        0.001,
        "a thousandth of the gradient; less changes nothing within a training",
    ),
    "parsing": Mechanism(
        "the predicted map of the face is better than the average face's map",
        "parsing_iou_gain",
        0.0,
        "the average map needs no network",
    ),
    "kernels": Mechanism(
        "the estimated kernels are closer to the true ones than the average kernel is",
        "kernel_error_gain",
        0.0,
        "the average kernel needs no network",
    ),
    "own-degradation": Mechanism(
        "the restorer improves images with the degradation that it was trained on",
        "own_degradation_gain",
        0.0,
        "dB over its input",
    ),
}


def presuppose(run: str, *mechanisms: str) -> tuple[Presupposition, ...]:
    """Mechanisms of one run that a claim rests on."""
    return tuple(Presupposition(run, name) for name in mechanisms)
