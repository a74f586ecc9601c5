"""Example faces for the page: pictures and error maps as data URIs, from what `pictures` wrote."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.core.files import open_image, read_image, read_json

# Error maps: mean absolute difference of the channels in grey levels; this and more is brightest.
LARGEST_ERROR = 64
LABELS = {"best": "least blurred", "median": "median", "worst": "most blurred"}


class Tile(NamedTuple):
    """One picture; ``error`` is its error map, both as data URIs; empty texts for the sharp one."""

    name: str
    picture: str
    error: str
    psnr: str
    alt: str


class TileGroup(NamedTuple):
    """One example: blurred, every run's, sharp."""

    title: str
    tiles: list[Tile]


def read_tiles(path: Path) -> list[TileGroup]:
    """Examples of one test set; none where the file does not exist.

    Args:
        path: PNG that :func:`dfpg.report.pictures.write_pictures` wrote.

    Raises:
        UserError: the PNG or its JSON is damaged.
    """
    if not path.exists():
        return []
    mosaic = read_image(path)
    try:
        content = read_json(path.with_suffix(".json"))
        return [
            _group(content, row, mosaic.reshape(-1, content["side"], *mosaic.shape[1:])[row])
            for row in range(len(content["examples"]))
        ]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"{path}: its JSON is not of these pictures; run pictures again") from error


def _group(
    content: dict[str, list[dict[str, object]]], row: int, strip: NDArray[np.uint8]
) -> TileGroup:
    """Cut one row of the mosaic, [side, columns * side, 3], into tiles."""
    names = [str(name) for name in content["columns"]]
    pictures = np.split(strip, len(names), axis=1)
    example = content["examples"][row]
    mode, place = str(example["label"]).split(", ")
    where = f"{mode} view, {LABELS[place]} image, number {example['image']}"
    scores = [f"{score:.2f} dB" for score in example["psnr"]]  # type: ignore[attr-defined]
    tiles = [
        Tile(
            name,
            data_uri(picture),
            error_map(picture, pictures[-1]),
            score,
            f"{where}: {name}, {score}",
        )
        for name, picture, score in zip(names, pictures[:-1], scores, strict=False)
    ]
    sharp = Tile(names[-1], data_uri(pictures[-1]), "", "", f"{where}: sharp")
    return TileGroup(where[0].upper() + where[1:], [*tiles, sharp])


def data_uri(picture: NDArray[np.uint8]) -> str:
    """An RGB picture, lossless, in a data URI."""
    return _uri(Image.fromarray(picture))


def error_map(picture: NDArray[np.uint8], sharp: NDArray[np.uint8]) -> str:
    """Where a picture is wrong, black to yellow (cividis), in a data URI."""
    error = np.abs(picture.astype(np.int16) - sharp).mean(axis=2)
    levels = np.minimum(np.rint(error * 255 / LARGEST_ERROR), 255).astype(np.uint8)
    image = Image.fromarray(levels, mode="P")
    image.putpalette(_palette())
    return _uri(image)


@cache
def _palette() -> bytes:
    import matplotlib as mpl

    colours = mpl.colormaps["cividis"](np.arange(256), bytes=True)[:, :3]
    return bytes(np.ascontiguousarray(colours))


def picture_uri(path: Path) -> str:
    """A picture as data URI; empty where the file does not exist.

    Raises:
        UserError: damaged, or no picture.
    """
    if not path.exists():
        return ""
    with open_image(path) as image:
        return _uri(image)


def _uri(image: Image.Image) -> str:
    """Lossless WebP, a quarter smaller than PNG: pictures are most of the page."""
    stream = io.BytesIO()
    image.save(stream, format="WEBP", lossless=True, exact=True)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
