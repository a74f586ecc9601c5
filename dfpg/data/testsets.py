"""Test sets of both protocols: two shards of pictures, an index and a manifest."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from dfpg.core.config import Config, ProtocolName
from dfpg.core.csv_files import from_csv, to_csv
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import read_json, sha256, write_text
from dfpg.core.progress import Progress
from dfpg.core.seeds import generator
from dfpg.data.augmentation import face_views
from dfpg.data.blur.degrade import add_noise, blur, quantise, quantise_unit, to_unit
from dfpg.data.blur.kernels import KernelBank
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.picture_shard import REMEDY, read_shard, write_shard
from dfpg.data.stratify import choose_faces, choose_pairs, first_kernel, split_people

SHARP, BLURRED, INDEX, MANIFEST = "sharp.zip", "blurred.zip", "index.csv", "manifest.json"
SHARDS = (SHARP, BLURRED, INDEX)
CHUNK = 64  # images in memory at once


@dataclass(frozen=True)
class Rate:
    """Work done and the time it took."""

    images: int
    seconds: float

    def __str__(self) -> str:
        """E.g. ``360 images in 2.0 s (180 images/s)``."""
        rate = self.images / self.seconds
        return f"{self.images} images in {self.seconds:.1f} s ({rate:.0f} images/s)"


@dataclass(frozen=True)
class TestSet:
    """One protocol's test set.

    Attributes:
        sharp: RGB uint8 [F, H, W, 3], in memory.
        blurred: RGB uint8 [N, H, W, 3], in memory.
        index: one row per blurred image: image, subset, mode, person, face (file name), sharp (row
            of ``sharp``), kernel (index among its size's test kernels), size (nominal).
    """

    sharp: NDArray[np.uint8]
    blurred: NDArray[np.uint8]
    index: pd.DataFrame


@within_memory("faces_per_subset, images_per_subset or image_size")
def build_testset(
    config: Config,
    protocol: ProtocolName,
    kernels: KernelBank,
    faces: Mapping[str, FaceSet],
    out: Path,
) -> Rate:
    """Write ``sharp.zip``, ``blurred.zip``, ``index.csv`` and ``manifest.json`` into ``out``.

    :mod:`dfpg.data.picture_shard` says what is in the first two.

    Args:
        config: names the subsets, their sizes and the seed.
        protocol: "a" or "b".
        kernels: the protocol's family of kernels.
        faces: test faces by source, for every source that a subset names.
        out: folder.

    Raises:
        UserError: too few faces or kernels, or the folder cannot be written.
    """
    started = time.perf_counter()
    people = split_people(config, protocol, faces)
    settings = config.protocols[protocol].test
    sharp: list[Tensor] = []
    parts: list[pd.DataFrame] = []
    for number, (name, subset) in enumerate(settings.subsets.items()):
        source = faces[subset.source]
        first = first_kernel(config, protocol, number)
        made = min(map(len, kernels.test.values()))
        if made < first + settings.kernels_per_size:
            raise UserError(
                f"the {kernels.family} kernels at hand are {made} per size, subset {name} of "
                f"protocol {protocol} needs {first + settings.kernels_per_size}: "
                "run `dvc repro kernels`"
            )
        stream = generator(config.seed, "testset", protocol, name)
        rows = choose_faces(source, people[name], settings.faces_per_subset, stream)
        pairs = choose_pairs(
            [source.people[row] for row in rows],
            settings.kernels_per_size,
            settings.images_per_subset,
            stream,
        )
        for mode in settings.modes:
            part = pd.DataFrame(pairs)
            chosen = [rows[face] for face in part["face"]]
            part["sharp"] = part["face"] + sum(map(len, sharp))
            part["kernel"] += first
            part["face"] = [source.names[row] for row in chosen]
            part.insert(0, "person", [source.people[row] for row in chosen])
            part.insert(0, "mode", mode)
            part.insert(0, "subset", name)
            parts.append(part)
            sharp.append(sharp_faces(config, protocol, source.pictures[rows], name, mode))
    index = pd.concat(parts, ignore_index=True)
    index = index[["subset", "mode", "person", "face", "sharp", "kernel", "size"]]
    pictures = torch.cat(sharp)
    with write_shard(out / SHARP) as append:
        append(pictures.numpy())
    write_blurred(config, protocol, kernels, pictures, index, out / BLURRED)
    write_text(out / INDEX, to_csv(index, index_label="image"))
    hashes = {name: sha256(out / name) for name in SHARDS}
    write_text(out / MANIFEST, json.dumps({"sha256": hashes}, indent=2) + "\n")
    for old in ("sharp.npy", "blurred.npy"):  # the pictures of a set made before they were PNGs
        (out / old).unlink(missing_ok=True)
    return Rate(len(index), time.perf_counter() - started)


def sharp_faces(
    config: Config,
    protocol: ProtocolName,
    pictures: NDArray[np.uint8],
    subset: str,
    mode: str,
) -> Tensor:
    """Sharp faces uint8 [F, H, W, 3]: the centre view, or a random one without colour jitter."""
    settings = config.protocols[protocol]
    crop = settings.test.subsets[subset].crop or settings.crop
    plain = settings.augmentation.model_copy(update={"color_jitter": 0.0})
    views = []
    for number, picture in enumerate(pictures):
        stream = (
            generator(config.seed, "testset", protocol, subset, "view", number)
            if mode == "random"
            else None
        )
        one = torch.from_numpy(picture[None])
        views.append(face_views(one, crop, plain, config.image_size, stream))
    return quantise(torch.cat(views)).permute(0, 2, 3, 1).contiguous()


def write_blurred(
    config: Config,
    protocol: ProtocolName,
    kernels: KernelBank,
    sharp: Tensor,
    index: pd.DataFrame,
    path: Path,
) -> None:
    """Blur the quantised sharp faces in [0, 1], add noise, quantise; in chunks of equal size."""
    level = config.protocols[protocol].test.noise
    with write_shard(path) as append, Progress(f"testset {protocol}", len(index), "image") as bar:
        run = index["size"].ne(index["size"].shift()).cumsum()
        for _, group in index.groupby(run):
            bank = torch.from_numpy(kernels.test[int(group["size"].iloc[0])])
            for start in range(0, len(group), CHUNK):
                chunk = group.iloc[start : start + CHUNK]
                images = to_unit(sharp[chunk["sharp"].to_list()]).permute(0, 3, 1, 2)
                images = blur(images, bank[chunk["kernel"].to_list()])
                if level:
                    noise = [
                        generator(config.seed, "testset", protocol, "noise", image).standard_normal(
                            tuple(images.shape[1:]), np.float32
                        )
                        for image in chunk.index
                    ]
                    images = add_noise(images, torch.from_numpy(np.stack(noise)), level, white=1)
                append(quantise_unit(images).permute(0, 2, 3, 1).numpy())
                bar.advance(len(chunk))


def open_testset(path: Path) -> TestSet:
    """Read a test set after checking every file against the manifest.

    Raises:
        UserError: a file is missing, damaged or not the one that the manifest names; or the files
            are of different test sets.
    """
    manifest = path / MANIFEST
    try:
        expected = read_json(manifest)["sha256"]
        for name in SHARDS:
            if sha256(path / name) != expected[name]:
                raise UserError(
                    f"{path / name}: damaged (SHA-256 differs from {MANIFEST}): {REMEDY}"
                )
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file: {REMEDY}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{manifest}: damaged manifest: {REMEDY}") from error
    index = from_csv(
        pd.read_csv(
            path / INDEX,
            dtype=dict.fromkeys(("subset", "mode", "person", "face"), str),
            keep_default_na=False,  # a face may be called "nan"
        )
    )
    sharp, blurred = read_shard(path / SHARP), read_shard(path / BLURRED)
    fits = len(blurred) == len(index) and index["sharp"].isin(range(len(sharp))).all()
    if not fits or sharp.shape[1:] != blurred.shape[1:]:
        raise UserError(f"{path}: {SHARP}, {BLURRED} and {INDEX} are of different sets: {REMEDY}")
    return TestSet(sharp, blurred, index)
