"""Helen (Le et al. 2012), or other photographs: the face is found and cropped as Shen's are."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data.faces.dataset import Split
from dfpg.data.faces.source import (
    CLOSE_SIDE,
    FramedFace,
    Source,
    hashed_split,
    list_pictures,
    make_index,
    read_lines,
    reduce,
)
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import Detection, FaceDetector

CROP = 128  # px: the crop of the protocol, inside CLOSE_SIDE
BELOW = 0.1  # share of the box's height that is added below it
SKIN = 0.1  # label value, in 0-1, above which a pixel counts as skin of the face
LEAST = 96  # px: a smaller crop would be enlarged by more than a third (assumed)
LISTS: dict[str, Split] = {"exemplars.txt": "train", "tuning.txt": "val", "testing.txt": "test"}
Box = tuple[float, float, float, float]


class Helen(Source):
    """Photographs, with the labels and lists of Smith et al. 2013 where they are there.

    The face's box is that of its skin label; without labels, that of the largest face that SCRFD
    finds (assumed to be alike). Crops of one photograph (``photograph_number``) stay together.
    """

    title: ClassVar[str] = "Helen"
    origin: ClassVar[str] = "pages.cs.wisc.edu/~lizhang/projects/face-parsing (labels and lists)"
    terms: ClassVar[str] = "research use; photographs of Flickr users"
    detects: ClassVar[bool] = True
    side: ClassVar[int] = CLOSE_SIDE
    size: ClassVar[int | None] = 2_330

    def __init__(self, root: Path) -> None:
        """List the photographs.

        Raises:
            UserError: there are none, or a list lacks some.
        """
        found = list_pictures(root / "images" if (root / "images").is_dir() else root)
        self.pictures, self.remark = found.folder, found.describe_skipped()
        self._labels = root / "labels"
        wanted = found.require_images(f"give the folder of Helen ({self.origin})")
        files = [file for file in wanted if "_lbl" not in file]
        photographs = [photograph(file) for file in files]
        if all((root / name).exists() for name in LISTS):
            listed = {
                stem: split for name, split in LISTS.items() for stem in read_list(root / name)
            }
            lacking = [file for file in files if Path(file).stem not in listed]
            if lacking:
                raise UserError(f"{root}: {lacking[0]} is in none of {', '.join(LISTS)}: remove it")
            splits = [listed[Path(file).stem] for file in files]
            self.rule = "official lists (exemplars, tuning, testing)"
        else:
            splits = [hashed_split(name) for name in photographs]
            self.rule = "SHA-256 of the photograph's name (no lists)"
        self.index = make_index(files, photographs, splits)

    @cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector(asset_path("scrfd"))

    def frame(self, file: str) -> FramedFace | str:
        """The face's square, 146/128 of the protocol's crop, reflected beyond the border."""
        picture = read_image(self.pictures / file)
        faces = self._detector(picture)
        if not faces:
            return "no face found"
        face = max(faces, key=_area)
        skin = self._labels / Path(file).stem / f"{Path(file).stem}_lbl01.png"
        box: Box = tuple(face.box.tolist())
        if skin.exists():
            found = skin_box(read_image(skin)[..., 0])
            if found is None:
                return "no skin label"
            box = found
        square = shen_square(box, picture.shape[1], picture.shape[0])
        if square[2] - square[0] < LEAST:
            return "face too small"
        wide = widen(square, self.side / CROP)
        scale = self.side / (wide[2] - wide[0])
        origin = np.array(wide[:2], np.float32)
        return FramedFace(
            crop_with_reflection(picture, wide, self.side), (face.landmarks - origin) * scale
        )


def photograph(file: str) -> str:
    """Name of the photograph that a file was cropped from: its stem up to the last ``_``."""
    stem = Path(file).stem
    head, _, tail = stem.rpartition("_")
    return head if head and tail.isdecimal() else stem


def read_list(path: Path) -> list[str]:
    """File stems of a list with lines ``number , stem``."""
    return [Path(line.split(",")[-1].strip()).stem for line in read_lines(path)]


def skin_box(label: NDArray[np.uint8]) -> Box | None:
    """Box of the pixels of a label image [H, W] that count as skin; None: there are none."""
    rows, columns = np.nonzero(label > SKIN * 255)
    if not len(rows):
        return None
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def shen_square(box: Box, width: int, height: int) -> Box:
    """Square about a face's box as the published crops have it.

    A tenth of the height is added below, the shorter side is lengthened on both sides, and a
    square that crosses the picture's border is shifted inside as far as it fits.
    """
    x0, y0, x1, y1 = box
    y1 += BELOW * (y1 - y0)
    side = max(x1 - x0, y1 - y0)
    corner = [(low + high - side) / 2 for low, high in ((x0, x1), (y0, y1))]
    x, y = (
        max(0.0, min(low, extent - side)) if side <= extent else (extent - side) / 2
        for low, extent in zip(corner, (width, height), strict=True)
    )
    return x, y, x + side, y + side


def widen(square: Box, factor: float) -> Box:
    """A square about the same middle, ``factor`` times as large."""
    margin = (square[2] - square[0]) * (factor - 1) / 2
    return square[0] - margin, square[1] - margin, square[2] + margin, square[3] + margin


def crop_with_reflection(picture: NDArray[np.uint8], square: Box, side: int) -> NDArray[np.uint8]:
    """A square of a picture, reflected where it crosses the border, at ``side`` px."""
    rows, columns = picture.shape[:2]
    beyond = max(-square[0], -square[1], square[2] - columns, square[3] - rows, 0.0)
    pad = int(np.ceil(beyond)) + 1
    mode: Literal["reflect", "symmetric"] = "reflect" if pad < min(rows, columns) else "symmetric"
    padded = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode)
    x0, y0, x1, y1 = (value + pad for value in square)
    return reduce(padded, side, (x0, y0, x1, y1))


def _area(face: Detection) -> float:
    x0, y0, x1, y1 = face.box
    return float((x1 - x0) * (y1 - y0))
