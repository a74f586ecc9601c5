"""Photographs as files: read upright with what else they hold, and written back with it."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from dfpg.core.errors import UserError
from dfpg.core.files import open_image

# Written so that nothing more is lost than the format must lose.
SETTINGS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "BMP": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},  # written, not read: it may have 10 bits
}
SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
}
WITH_ALPHA = ("PNG", "WEBP", "TIFF", "AVIF")
# Tags of a TIFF's own pixel layout, which are no description of the photograph: baseline 254-297,
# 317-347, the colour profile, and those of embedded previews.
LAYOUT = frozenset(
    [*range(254, 270), *range(273, 305), *range(317, 348), 513, 514, *range(529, 533), 700, 34675]
)


@dataclass(frozen=True)
class Photograph:
    """A photograph, upright.

    Attributes:
        pixels: RGB uint8 [H, W, 3]; of a grey one, three equal channels.
        alpha: uint8 [H, W], or None.
        grey: whether it is stored without colours.
        format: PIL's name of the file format.
        carried: what is written beside the pixels: EXIF, colour profile, resolution, XMP.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    grey: bool
    format: str
    carried: dict[str, Any] = field(default_factory=dict)


def read_photograph(path: Path) -> Photograph:
    """Read an 8-bit photograph and turn it upright as its EXIF orientation says.

    Raises:
        UserError: as :func:`dfpg.core.files.open_image`.
    """
    with open_image(path) as image:
        alpha = image.has_transparency_data
        grey = image.mode in ("L", "LA")
        image.load()
        upright = ImageOps.exif_transpose(image)  # which takes the orientation out of the XMP, too
        kept = ("icc_profile", "xmp")
        carried = {name: upright.info[name] for name in kept if upright.info.get(name)}
        if exif := _exif_bytes(image):
            carried["exif"] = exif
        resolution = tuple(map(float, image.info.get("dpi", ())))
        if len(resolution) == 2 and all(0 < value < 65536 for value in resolution):
            carried["dpi"] = resolution
        pixels = np.asarray(upright.convert("RGBA" if alpha else "RGB"))
    return Photograph(
        pixels=np.ascontiguousarray(pixels[..., :3]),
        alpha=pixels[..., 3].copy() if alpha else None,
        grey=grey,
        format="JPEG" if image.format == "MPO" else str(image.format),
        carried=carried,
    )


def encode(photograph: Photograph, format: str, path: Path) -> bytes:
    """A photograph as a file, with what it carries as far as the format can.

    Args:
        photograph: to be encoded; a grey one is stored grey.
        format: key of ``SETTINGS``.
        path: file that it is for: errors name it.

    Raises:
        UserError: the format has no alpha channel and the photograph has one, or cannot hold it.
    """
    image = Image.fromarray(photograph.pixels)
    if photograph.grey:
        image = image.convert("L")
    if photograph.alpha is not None:
        if format not in WITH_ALPHA:
            raise UserError(f"{path}: {format} cannot hold its transparency: have a PNG written")
        image.putalpha(Image.fromarray(photograph.alpha))
    stream = io.BytesIO()
    try:
        image.save(stream, format=format, **SETTINGS[format], **photograph.carried)
    except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
        raise UserError(f"{path}: cannot be written as {format} ({error})") from error
    return stream.getvalue()


def writable_formats() -> dict[str, str]:
    """Formats that this Pillow writes, by the endings of their names."""
    without = {"AVIF": "avif", "WEBP": "webp"}  # libraries that a build of Pillow may lack
    return {
        ending: format
        for ending, format in SUFFIXES.items()
        if format not in without or features.check(without[format])
    }


def _exif_bytes(image: Image.Image) -> bytes:
    """The EXIF data that describe the photograph and not its file; no preview, no orientation."""
    exif = image.getexif()
    for tag in LAYOUT & set(exif):
        del exif[tag]
    return exif.tobytes() if len(exif) else b""
