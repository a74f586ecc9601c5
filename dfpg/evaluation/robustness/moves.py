"""Faces shifted, turned and scaled by known amounts.

The paper shows "randomly rotated" faces (section 4.3, Fig. 7) and states no amounts. Those of the
MSPL-Random test set are turns up to 270 degrees and shifts up to 7.1 % of the side (sujyQ/SAPPGAN);
the amounts here start below and end beyond these.
"""

from __future__ import annotations

from typing import NamedTuple

IDENTITY, SHIFT, ROTATION, SCALE = "identity", "shift", "rotation", "scale"
UNITS = {SHIFT: "% of the side", ROTATION: "degrees", SCALE: "factor"}
PLAIN = {SHIFT: 0.0, ROTATION: 0.0, SCALE: 1.0}  # the amount that moves nothing
AMOUNTS = {
    SHIFT: (3.125, 6.25, 12.5, 25.0),  # whole pixels from 32 px up
    ROTATION: (5.0, 10.0, 20.0, 45.0, 90.0, 180.0),
    SCALE: (0.75, 0.875, 1.125, 1.25, 1.5),
}
BASELINE_PART = "baselines"  # name of the part-file of sharp and blurred faces
DIRECTIONS = 4  # right, down, left, up; turns: clockwise, anticlockwise, and again


class Move(NamedTuple):
    """What is done to a face, and how far; the direction is each image's own."""

    transformation: str
    amount: float

    @property
    def mode(self) -> str:
        """Its name in the column ``mode`` of per-image CSVs, e.g. ``rotation 45``."""
        return f"{self.transformation} {self.amount:g}"


STILL = Move(IDENTITY, 0.0)
MOVES = (STILL, *(Move(name, amount) for name, found in AMOUNTS.items() for amount in found))
