"""A trained method as the Python interface gives it: one face, or the faces of a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dfpg.core.images import Image, check_image


class FaceRestorer:
    """A trained method; :func:`dfpg.api.load_restorer` makes one.

    Attributes:
        name: key of the method, e.g. ``"dfpgnet"``.
        size: side of the faces that it was trained on, px.
    """

    name: str
    size: int

    def __init__(self, weights: Path, device: str | None = None) -> None:
        from dfpg.commands.deblur.command import parse_device
        from dfpg.commands.deblur.restore import Restorer

        self._restorer = Restorer(weights, parse_device(device))
        self._detector: Any = None
        self.name, self.size = self._restorer.name, self._restorer.size

    def restore(self, image: Image) -> Image:
        """Restore a picture that one face fills, framed as the faces of training are.

        A picture of another size is drawn at the method's, and what the method changes is drawn
        back, so that the result has the size of the picture.

        Args:
            image: RGB uint8 [H, W, 3].

        Raises:
            UserError: not such an array, or too long and narrow to be a face.
        """
        from dfpg.commands.deblur.restore import restore_aligned

        return restore_aligned(check_image(image, "image"), self._restorer)

    def deblur(self, photograph: Image) -> Image:
        """Find the faces of a photograph and restore each in its place.

        Args:
            photograph: RGB uint8 [H, W, 3], upright.

        Returns:
            A new array of the same size; without a face it equals the photograph.

        Raises:
            UserError: not such an array, or the detector cannot be fetched.
        """
        from dfpg.commands.deblur.detection import CanvasDetector, find_faces
        from dfpg.commands.deblur.restore import restore_faces
        from dfpg.pretrained.assets.store import asset_path

        picture = check_image(photograph, "photograph")
        if self._detector is None:
            self._detector = CanvasDetector(asset_path("scrfd"))
        faces = find_faces(picture, self._detector)
        return restore_faces(picture, faces, self._restorer).pixels if faces else picture.copy()
