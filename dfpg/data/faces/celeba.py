"""CelebA: 202,599 aligned pictures of 10,177 people (Liu et al. 2015)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dfpg.core.errors import UserError
from dfpg.core.files import read_image
from dfpg.data.faces.dataset import Split, Square
from dfpg.data.faces.source import (
    CLOSE_SIDE,
    FramedFace,
    Source,
    list_pictures,
    locate,
    make_index,
    read_columns,
)

PICTURE_SIZE = (218, 178)  # px: rows, columns
CROP = Square(left=25, top=68, side=128)  # of the picture: Shen's crop
WHOLE = Square(left=0, top=20, side=178)  # the whole width, as MSPL's test faces
# What is stored, px: WHOLE is 0.873 of it, as 448 px are 0.875 of 512, so that protocol B's crop
# means the same for CelebA as for CelebA-HQ. It is wider than the picture.
STORED = Square(left=-13, top=7, side=204)
MARGIN = (CLOSE_SIDE - CROP.side) // 2
SPLITS: dict[str, Split] = {"0": "train", "1": "val", "2": "test"}
# Files of the whole set, as torchvision's loader pins them.
MD5 = {
    "identity_CelebA.txt": "32bd1bd63d3c78cd57e08160ec5ed1e2",
    "list_eval_partition.txt": "d32c9cbf5e040fd4025c592c306e6668",
}
# Medians of SCRFD's landmarks in 307 aligned pictures, px: for a copy without the landmark file.
LANDMARKS = np.array(
    [[69.5, 111.7], [108.5, 111.9], [88.8, 135.9], [72.4, 152.3], [105.8, 152.4]], np.float32
)


def original_split(number: int) -> Split:
    """Official split of picture ``number``, counted from 1 as in the files' names."""
    if number <= 162_770:
        return "train"
    return "val" if number <= 182_637 else "test"


class CelebA(Source):
    """``img_align_celeba`` with identities and the official split.

    A square of 204 px is kept, pixel for pixel, reflected where it is wider than the picture. The
    close framing shows the 146 px of it about Shen's crop.
    """

    title: ClassVar[str] = "CelebA"
    origin: ClassVar[str] = "mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
    terms: ClassVar[str] = "non-commercial research, no redistribution"
    side: ClassVar[int] = STORED.side
    close: ClassVar[Square | None] = Square(
        CROP.left - MARGIN - STORED.left, CROP.top - MARGIN - STORED.top, CLOSE_SIDE
    )
    size: ClassVar[int | None] = 202_599
    identities = True

    def __init__(self, root: Path) -> None:
        """Read the lists.

        Raises:
            UserError: a folder or list is missing, damaged, or lacks a picture.
        """
        found = list_pictures(self._find(root, "img_align_celeba", "Img/img_align_celeba"))
        self.pictures = found.folder
        identities = self._table(root, "identity_CelebA.txt", "Anno")
        partition = self._table(root, "list_eval_partition.txt", "Eval")
        files = found.images
        for file in files:
            if not identities.get(file) or partition.get(file, [""])[0] not in SPLITS:
                raise UserError(
                    f"{self.pictures / file}: its line in identity_CelebA.txt or "
                    "list_eval_partition.txt is missing or damaged: restore the list"
                )
        people = [identities[file][0] for file in files]
        index = make_index(files, people, (SPLITS[partition[file][0]] for file in files))
        held_out = set(index.loc[index["split"] != "train", "person"])
        tested = set(index.loc[index["split"] == "test", "person"])
        train, val = index["split"] == "train", index["split"] == "val"
        shared = (train & index["person"].isin(held_out)) | (val & index["person"].isin(tested))
        self.index = index[~shared].reset_index(drop=True)
        self.rule = "official partition, by people"
        if shared.any():
            self.rule += f"; {int(shared.sum())} pictures of people in two splits left out"
        lacking = sorted(set(partition) - set(files))
        note = f"not at hand of the list: {len(lacking)}, such as {lacking[0]}" if lacking else ""
        self.remark = "; ".join(filter(None, (note, found.describe_skipped())))
        names = [f"{folder}list_landmarks_align_celeba.txt" for folder in ("", "Anno/")]
        lists = [root / name for name in names if (root / name).exists()]
        self._landmarks = read_columns(lists[0], header=2) if lists else {}

    def frame(self, file: str) -> FramedFace:
        """Rows 7 to 210 and all columns, with 13 more by reflection on either side."""
        picture = read_image(self.pictures / file)
        if picture.shape[:2] != PICTURE_SIZE:
            raise UserError(
                f"{self.pictures / file}: {picture.shape[1]}x{picture.shape[0]} px: "
                "img_align_celeba has 178x218 px; use the files as released"
            )
        beyond = -STORED.left
        padded = np.pad(picture, ((0, 0), (beyond, beyond), (0, 0)), "reflect")
        square = padded[STORED.top : STORED.top + STORED.side]
        points = LANDMARKS
        if file in self._landmarks:
            points = self._points(file)
        return FramedFace(square, points - np.array([STORED.left, STORED.top], np.float32))

    def _points(self, file: str) -> NDArray[np.float32]:
        try:
            return np.array(self._landmarks[file], np.float32).reshape(5, 2)
        except ValueError as error:
            raise UserError(
                f"{self.pictures / file}: its line in list_landmarks_align_celeba.txt is damaged: "
                "restore the list"
            ) from error

    def _find(self, root: Path, *names: str) -> Path:
        return locate(root, self.title, self.origin, *names)

    def _table(self, root: Path, name: str, folder: str) -> dict[str, list[str]]:
        path = self._find(root, name, f"{folder}/{name}")
        table = read_columns(path)
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if len(table) == self.size and digest != MD5[name]:
            raise UserError(f"{path}: not the released list (MD5 differs): restore it")
        return table
