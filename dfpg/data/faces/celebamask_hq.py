"""CelebAMask-HQ: 30,000 pictures of CelebA at 1,024 px with parsing masks (Lee et al. 2020)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data.faces.celeba import original_split
from dfpg.data.faces.dataset import Split
from dfpg.data.faces.source import (
    WIDE_SIDE,
    FramedFace,
    Source,
    hashed_split,
    list_pictures,
    locate,
    make_index,
    read_columns,
    reduce,
)
from dfpg.pretrained.parsing import CELEBAMASK_ORDER, from_celebamask

MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
COUNTS: dict[Split, int] = {"train": 24_183, "val": 2_993, "test": 2_824}  # of the whole set
PER_FOLDER = 2000  # pictures whose masks lie in one folder of CelebAMask-HQ-mask-anno
# Names of the mask files of class 1, 2, ... (0 is the background).
PARTS = (
    "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
# Medians of SCRFD's landmarks in 367 pictures, as shares of the side.
LANDMARKS = np.array(
    [[0.377, 0.477], [0.624, 0.478], [0.5, 0.632], [0.393, 0.735], [0.61, 0.736]], np.float32
)


class CelebAMaskHQ(Source):
    """Pictures with masks of each class (as released) or of all classes in one file.

    The released files are split as CelebA's own are. A part under other names has no official
    split: it is split by the hashes of its names.
    """

    title: ClassVar[str] = "CelebAMask-HQ"
    origin: ClassVar[str] = "github.com/switchablenorms/CelebAMask-HQ"
    terms: ClassVar[str] = "non-commercial research and education"
    side: ClassVar[int] = WIDE_SIDE
    size: ClassVar[int | None] = 30_000

    def __init__(self, root: Path) -> None:
        """Find pictures and masks, and read the mapping to CelebA.

        Raises:
            UserError: a folder is missing, or the mapping is damaged or lacks a picture.
        """
        found = list_pictures(locate(root, self.title, self.origin, "CelebA-HQ-img", "images"))
        self.pictures, self.remark = found.folder, found.describe_skipped()
        self._masks = root
        for name in ("CelebAMask-HQ-mask-anno", "CelebAMask-HQ-mask", "masks"):
            if (root / name).is_dir():
                self._masks, self.masks = root / name, True
                break
        files = found.images
        stems = [Path(file).stem for file in files]
        if all(stem.isdecimal() for stem in stems) and (root / MAPPING).exists():
            splits = self._official(root / MAPPING, stems)
        else:
            splits = [hashed_split(stem) for stem in stems]
            self.rule = "SHA-256 of the file's name (no official names and mapping)"
        self.index = make_index(files, stems, splits)

    def _official(self, path: Path, stems: list[str]) -> list[Split]:
        """CelebA's partition of the picture that each one was made of."""
        table = read_columns(path, header=1)
        splits = []
        for stem in stems:
            row = table.get(str(int(stem)), [])
            number = Path(row[-1]).stem if row else ""
            if not number.isdecimal():
                raise UserError(f"{path}: line of picture {stem} missing or damaged: restore it")
            splits.append(original_split(int(number)))
        counts = {split: splits.count(split) for split in COUNTS}
        if len(stems) == self.size and counts != COUNTS:
            raise UserError(f"{path}: splits the set {counts}, not {COUNTS}: restore the file")
        self.rule = "CelebA's partition of the original picture, by people"
        return splits

    def frame(self, file: str) -> FramedFace:
        """The whole picture, reduced."""
        picture = read_image(self.pictures / file)
        rows, columns = picture.shape[:2]
        if rows != columns or rows < self.side:
            raise UserError(
                f"{self.pictures / file}: {columns}x{rows} px: give square pictures of at least "
                f"{self.side} px, as released"
            )
        return FramedFace(reduce(picture, self.side), LANDMARKS * self.side)

    def labels(self, file: str) -> NDArray[np.uint8]:
        """Parsing map by nearest neighbour; a later class covers an earlier one, as in the release.

        Raises:
            UserError: a mask is missing, damaged, or holds an unknown class.
        """
        stem = Path(file).stem
        whole = self._masks / f"{stem}.png"
        if whole.exists():
            mask = _read_mask(whole)
            if mask.max() >= len(CELEBAMASK_ORDER):
                raise UserError(f"{whole}: class {mask.max()} is unknown: restore the file")
        else:
            folder = self._masks / str(int(stem) // PER_FOLDER) if stem.isdecimal() else self._masks
            mask = np.zeros((512, 512), np.uint8)
            names = [folder / f"{stem:0>5}_{part}.png" for part in PARTS]
            if not any(name.exists() for name in names):
                raise UserError(f"{names[0]}: no mask of picture {file}: restore the set's masks")
            for number, name in enumerate(names, start=1):
                if name.exists():
                    mask[_read_mask(name) > 0] = number
        small = Image.fromarray(mask).resize((self.side, self.side), Image.Resampling.NEAREST)
        labels: NDArray[np.uint8] = from_celebamask(torch.from_numpy(np.array(small))).numpy()
        return labels


def _read_mask(path: Path) -> NDArray[np.uint8]:
    """Class numbers [H, W] of a grey or palette PNG; of a colour one, its first channel."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: damaged mask ({error}): replace the file") from error
    return pixels if pixels.ndim == 2 else pixels[..., 0]
