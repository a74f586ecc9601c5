"""Small sets of photographs in their owners' layouts, made of the generated people."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
from helpers.places import ROOT
from numpy.typing import NDArray
from PIL import Image

from dfpg.data.faces.dataset import load_folder

CELEBA_SPLITS = {"train": 0, "val": 1, "test": 2}


def people() -> list[list[NDArray[np.uint8]]]:
    """The validation people of the embedded faces: 20 people, four pictures of 160 px each."""
    faces = load_folder(ROOT / "data", "val", None)
    return [
        [picture for picture, name in zip(faces.pictures, faces.people, strict=True) if name == own]
        for own in sorted(set(faces.people))
    ]


def save(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def enlarged(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))


def celeba_like(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """178 x 218 px with the eyes where CelebA's are, about."""
    canvas = np.full((218, 178, 3), 127, np.uint8)
    canvas[34:194, 9:169] = picture
    return canvas


def celeba(root: Path, split: str, who: list[list[NDArray[np.uint8]]], first: int = 1) -> None:
    """Write or extend a CelebA folder: one identity per person, PNG files named as JPEG are."""
    numbers = count(first)
    lines: dict[str, list[str]] = {"identity_CelebA.txt": [], "list_eval_partition.txt": []}
    for person, pictures in enumerate(who):
        for picture in pictures:
            name = f"{next(numbers):06d}.png"
            save(root / "img_align_celeba" / name, celeba_like(picture))
            lines["identity_CelebA.txt"].append(f"{name} {1000 * first + person}")
            lines["list_eval_partition.txt"].append(f"{name} {CELEBA_SPLITS[split]}")
    for name, rows in lines.items():
        with (root / name).open("a") as stream:
            stream.writelines(f"{row}\n" for row in rows)


def celebamask_hq(root: Path, pictures: list[NDArray[np.uint8]], names: list[str]) -> None:
    """Write ``images`` and ``masks``: left half skin (1), right half hair (13)."""
    mask = np.full((512, 512), 13, np.uint8)
    mask[:, :256] = 1
    for picture, name in zip(pictures, names, strict=True):
        save(root / "images" / f"{name}.png", enlarged(picture, 512))
        save(root / "masks" / f"{name}.png", mask)


def names_of(split: str, number: int, prefix: str = "n") -> list[str]:
    """File stems that the rule by hashes puts into a split."""
    from dfpg.data.faces.source import hashed_split

    stems = (f"{prefix}{index}" for index in count())
    found: list[str] = []
    while len(found) < number:
        stem = next(stems)
        if hashed_split(stem) == split:
            found.append(stem)
    return found
