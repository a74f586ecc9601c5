"""FFHQ: 70,000 aligned portraits at 1,024 px (Karras et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data.faces.celebamask_hq import LANDMARKS
from dfpg.data.faces.dataset import Split
from dfpg.data.faces.source import (
    WIDE_SIDE,
    FramedFace,
    Source,
    hashed_split,
    list_pictures,
    make_index,
    reduce,
)

FIRST_TEST = 60_000  # the owners' "validation" part, which no part of ours trains on
FIRST_VAL = 58_000  # assumed: the last training pictures serve as validation


class FFHQ(Source):
    """``images1024x1024`` (folders of a thousand or flat), framed as CelebA-HQ is."""

    title: ClassVar[str] = "FFHQ"
    origin: ClassVar[str] = "github.com/NVlabs/ffhq-dataset"
    terms: ClassVar[str] = "CC BY-NC-SA 4.0 as a set; each photograph has its own licence"
    side: ClassVar[int] = WIDE_SIDE
    size: ClassVar[int | None] = 70_000

    def __init__(self, root: Path) -> None:
        """List the pictures.

        Raises:
            UserError: there are none.
        """
        inner = root / "images1024x1024"
        found = list_pictures(inner if inner.is_dir() else root)
        self.pictures, self.remark = found.folder, found.describe_skipped()
        files = found.require_images(f"give the folder of FFHQ ({self.origin})")
        stems = [Path(file).stem for file in files]
        if len(files) == self.size and all(stem.isdecimal() for stem in stems):
            splits = [numbered_split(int(stem)) for stem in stems]
            self.rule = "official: pictures from 60000 on are the test split"
        else:
            splits = [hashed_split(stem) for stem in stems]
            self.rule = "SHA-256 of the file's name (a part of the set)"
        self.index = make_index(files, stems, splits)

    def frame(self, file: str) -> FramedFace:
        """The whole picture, reduced."""
        picture = read_image(self.pictures / file)
        rows, columns = picture.shape[:2]
        if rows != columns or rows < self.side:
            raise UserError(
                f"{self.pictures / file}: {columns}x{rows} px: give the aligned pictures at "
                f"{self.side} px or more, not the thumbnails"
            )
        return FramedFace(reduce(picture, self.side), LANDMARKS * self.side)


def numbered_split(number: int) -> Split:
    """Split of picture ``number`` of the whole set."""
    if number >= FIRST_TEST:
        return "test"
    return "val" if number >= FIRST_VAL else "train"
