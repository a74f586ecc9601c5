"""Makes a folder of generated people: pictures, index with splits and landmarks."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pandas as pd
from PIL import Image

from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write
from dfpg.core.progress import Progress
from dfpg.data.faces.dataset import INDEX, LANDMARK_COLUMNS
from dfpg.data.faces.generator import FaceGenerator
from dfpg.data.faces.selection import Selection
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import FaceDetector
from dfpg.pretrained.embedder import FaceEmbedder

PICTURES = 4  # per person
SIZE = 160  # px
QUALITY = 94  # JPEG, no chroma subsampling
# Of every 22 people kept, in order: 15 train, 1 validates, 6 test. So 440 people give 300/20/120,
# and a longer run of the generator leaves the first people where they were.
SPLIT_CYCLE = ("train",) * 15 + ("val",) + ("test",) * 6


def split_of(rank: int) -> str:
    """Split of the person who was kept as number ``rank``, counted from 0."""
    return SPLIT_CYCLE[rank % len(SPLIT_CYCLE)]


def create_faces(out: Path, people: int, seed: int = 0, size: int = SIZE) -> Counter[str]:
    """Generate people, drop failures by rule, and write pictures and index.

    Args:
        out: new or empty folder; gets ``faces/p<person>_<picture>.jpg`` and ``faces.csv``.
        people: number of people to keep, ``PICTURES`` pictures each.
        seed: seed of the styles; the committed faces use 0.
        size: side of the pictures in px.

    Returns:
        How many people were dropped, by reason.

    Raises:
        UserError: the folder is not empty, an asset is missing, or OpenVINO is not installed.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: not empty; name a new folder")
    faces = FaceGenerator(asset_path("mobilestylegan"), seed)
    selection = Selection(
        FaceDetector(asset_path("scrfd")), FaceEmbedder(asset_path("mobilefacenet"))
    )
    rows: list[dict[str, object]] = []
    kept = person = 0
    with Progress("faces", people, "person") as progress:
        while kept < people:
            pictures = [faces.picture(person, picture, size) for picture in range(PICTURES)]
            outcome = selection.screen(pictures)
            if outcome.reason is None:
                for picture, (pixels, face) in enumerate(zip(pictures, outcome.faces, strict=True)):
                    name = f"p{person:05d}_{picture}.jpg"
                    _write_jpeg(out / "faces" / name, Image.fromarray(pixels))
                    points = [round(float(value), 2) for value in face.landmarks.reshape(-1)]
                    rows.append(
                        {
                            "file": name,
                            "person": f"p{person:05d}",
                            "split": split_of(kept),
                            "score": round(face.score, 4),
                            **dict(zip(LANDMARK_COLUMNS, points, strict=True)),
                        }
                    )
                kept += 1
                progress.advance()
            person += 1
    with atomic_write(out / INDEX) as stream:
        pd.DataFrame(rows).to_csv(stream, index=False, lineterminator="\n")
    return selection.dropped


def _write_jpeg(path: Path, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True)
    with atomic_write(path) as stream:
        stream.write(buffer.getvalue())
