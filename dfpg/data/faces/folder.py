"""Any folder of portraits, as they are framed; folders in it are people."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from dfpg.core.files import read_image
from dfpg.core.listing import normalise_name
from dfpg.data.faces.source import (
    WIDE_SIDE,
    FramedFace,
    Source,
    hashed_split,
    list_pictures,
    make_index,
    reduce,
)
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import FaceDetector


class Folder(Source):
    """``PERSON/picture`` names people; pictures that lie in the folder itself have none.

    The largest square in a picture's middle is taken; one without a face is left out.
    """

    title: ClassVar[str] = "a folder of portraits"
    origin: ClassVar[str] = "your own"
    terms: ClassVar[str] = "those of the photographs"
    detects: ClassVar[bool] = True
    side: ClassVar[int] = WIDE_SIDE

    def __init__(self, root: Path) -> None:
        """List the pictures.

        Raises:
            UserError: there are none.
        """
        found = list_pictures(root, people=True)
        self.pictures, self.remark = found.folder, found.describe_skipped()
        files = found.require_images("name a folder of portraits")
        self.identities = any("/" in file for file in files)
        names = (file.split("/")[0] if "/" in file else Path(file).stem for file in files)
        people = [normalise_name(name) for name in names]
        self.rule = "SHA-256 of the person's name, or else of the file's"
        self.index = make_index(files, people, (hashed_split(person) for person in people))

    @cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector(asset_path("scrfd"))

    def frame(self, file: str) -> FramedFace | str:
        """The middle square, reduced."""
        picture = read_image(self.pictures / file)
        rows, columns = picture.shape[:2]
        side = min(rows, columns)
        if side < self.side:
            return f"smaller than {self.side} px"
        top, left = (rows - side) // 2, (columns - side) // 2
        square = reduce(picture[top : top + side, left : left + side], self.side)
        faces = self._detector(square)
        if not faces:
            return "no face found"
        return FramedFace(square, faces[0].landmarks)
