"""Strip of faces before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dfpg.commands.deblur.framing import Frame, Pixels, crop

SMALLEST, LARGEST = 128, 384  # px: side of a face on the strip
FACES = 8  # the largest ones
GAP, LINE, FONT = 4, 16, 11  # px


def face_strip(before: Pixels, after: Pixels, frames: Sequence[Frame]) -> Pixels:
    """The largest faces of a photograph, upright, one per row: before and after.

    Args:
        before: RGB uint8 [H, W, 3].
        after: the same photograph, restored.
        frames: of its faces, the largest first.
    """
    side = round(float(np.clip(frames[0].side, SMALLEST, LARGEST)))
    return _draw(
        [
            [crop(picture, frame, side, reflect=False) for picture in (before, after)]
            for frame in frames[:FACES]
        ]
    )


def aligned_strip(before: Pixels, after: Pixels) -> Pixels:
    """A picture of a face, RGB uint8 [H, W, 3], before and after, reduced if it is large."""
    return _draw([[_reduce(picture) for picture in (before, after)]])


def _reduce(picture: Pixels) -> Pixels:
    image = Image.fromarray(picture)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _draw(rows: Sequence[Sequence[Pixels]]) -> NDArray[np.uint8]:
    """Rows of two pictures of one size under headings."""
    height, width = rows[0][0].shape[:2]
    font = ImageFont.load_default(FONT)
    sheet = Image.new("RGB", (2 * width + GAP, LINE + len(rows) * (height + GAP) - GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for column, heading in enumerate(("before", "after")):
        left = column * (width + GAP)
        pen.text((left + width / 2, 1), heading, "black", font, anchor="ma")
        for row, pictures in enumerate(rows):
            sheet.paste(Image.fromarray(pictures[column]), (left, LINE + row * (height + GAP)))
    return np.asarray(sheet)
