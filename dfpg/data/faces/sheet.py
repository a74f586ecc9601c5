"""Contact sheet of a folder of faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dfpg.core.files import write_image
from dfpg.data.faces.dataset import load_folder

THUMBNAIL = 80  # px


def draw_sheet(folder: Path, out: Path, people: int, columns: int = 4) -> int:
    """Draw the pictures of the first people of each split, one person per block of a row.

    Args:
        folder: folder with ``faces/`` and ``faces.csv``.
        out: PNG file to write.
        people: number of people to show per split.
        columns: people per row.

    Returns:
        Number of pictures drawn.
    """
    blocks = []
    for split in ("train", "val", "test"):
        faces = load_folder(folder, split, THUMBNAIL)
        shown = sorted(set(faces.people))[:people]
        for person in shown:
            blocks.append(
                np.concatenate(
                    [
                        picture
                        for picture, name in zip(faces.pictures, faces.people, strict=True)
                        if name == person
                    ],
                    axis=1,
                )
            )
    width = max(block.shape[1] for block in blocks)
    rows = -(-len(blocks) // columns)
    gap = 4
    sheet = np.full((rows * (THUMBNAIL + gap), columns * (width + gap), 3), 255, np.uint8)
    for number, block in enumerate(blocks):
        top = number // columns * (THUMBNAIL + gap)
        left = number % columns * (width + gap)
        sheet[top : top + THUMBNAIL, left : left + block.shape[1]] = block
    write_image(out, sheet)
    return sum(block.shape[1] // THUMBNAIL for block in blocks)
