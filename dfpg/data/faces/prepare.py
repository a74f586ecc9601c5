"""Stage ``faces``: the user's photographs, framed, split and packed for the other stages."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.core.config import Config
from dfpg.core.csv_files import to_csv
from dfpg.core.errors import UserError
from dfpg.core.files import atomic_write, write_text
from dfpg.core.listing import normalise_name
from dfpg.core.progress import Progress
from dfpg.core.terminal import say
from dfpg.data.faces.dataset import FRAMINGS, INDEX, LANDMARK_COLUMNS
from dfpg.data.faces.source import SPLITS, choose

if TYPE_CHECKING:
    from dfpg.data.faces.source import FramedFace, Source
    from dfpg.pretrained.embedder import FaceEmbedder

SUMMARY = "summary.json"
LABELS = "labels_train.npy"
BATCH = 32  # pictures in memory at once
WORKERS = 8  # threads that read pictures, at most


@dataclass(frozen=True)
class Frames:
    """The framed faces of a source, on the disk.

    Attributes:
        index: file, person, split and landmark columns of every face.
        pictures: uint8 [N, S, S, 3].
        labels: uint8 [N, S, S], filled for training faces; None: the source has no masks.
        dropped: how many pictures have no usable face, by reason.
    """

    index: pd.DataFrame
    pictures: NDArray[np.uint8]
    labels: NDArray[np.uint8] | None
    dropped: Counter[str]


def prepare_faces(config: Config, sources: list[str], out: Path) -> None:
    """Prepare every source that the profile uses; the embedded one needs nothing.

    Args:
        config: names each source's folder.
        sources: names under ``faces``.
        out: folder; gets ``summary.json`` and, for every source, a folder as
            :func:`dfpg.data.faces.dataset.load_prepared` reads it, with ``labels_train.npy`` where
            the set has masks.

    Raises:
        UserError: a set is missing, incomplete or damaged, or an asset is missing.
    """
    summary = _prepare(config, sources, out) if sources else {}
    write_text(out / SUMMARY, json.dumps({"faces": summary}) + "\n")


def _prepare(config: Config, names: list[str], out: Path) -> dict[str, Any]:
    from dfpg.data.faces.duplicates import group_alike, prune
    from dfpg.data.faces.readers import open_source
    from dfpg.pretrained.assets.store import asset_path
    from dfpg.pretrained.embedder import FaceEmbedder

    sources = {name: open_source(name, config.faces[name]) for name in names}
    embedder = FaceEmbedder(asset_path("mobilefacenet"))
    out.mkdir(parents=True, exist_ok=True)
    summary = {}
    with tempfile.TemporaryDirectory(prefix=".unpruned.", dir=out) as scratch:
        frames, embeddings = {}, {}
        for name, source in sources.items():
            if source.remark:
                say(f"{name}: {source.remark}")
            chosen = choose(source.index, config.faces[name].train)
            frames[name] = frame_faces(name, source, chosen, Path(scratch))
            embeddings[name] = embed_faces(name, frames[name], embedder)
        pruning = prune({name: part.index for name, part in frames.items()}, embeddings)
        for name, source in sources.items():
            kept = pruning.kept[name]
            index = frames[name].index
            if not source.identities:
                index = group_alike(index, embeddings[name], kept)
            write_source(out / name, replace(frames[name], index=index), kept)
            framings = {"close": source.close, "wide": None}
            write_text(out / name / FRAMINGS, json.dumps(framings) + "\n")
            summary[name] = {
                "reader": config.faces[name].reader,
                "split_rule": source.rule,
                "identities": source.identities,
                "side": source.side,
                "at_hand": _counts(source.index),
                "list_sha256": list_hash(source),
                "no_usable_face": dict(sorted(frames[name].dropped.items())),
                "alike_to_test_faces_of": pruning.found[name],
                "kept": _counts(index[kept]),
            }
    return summary


def frame_faces(name: str, source: Source, chosen: pd.DataFrame, scratch: Path) -> Frames:
    """Frame the chosen pictures of a source into files in ``scratch``.

    Args:
        name: of the source.
        source: the opened set.
        chosen: rows of its index.
        scratch: folder for the files; they are as large as what is framed.
    """
    shape = (len(chosen), source.side, source.side)
    pictures = np.memmap(scratch / f"{name}.pictures", np.uint8, "w+", shape=(*shape, 3))
    labels = (
        np.memmap(scratch / f"{name}.labels", np.uint8, "w+", shape=shape) if source.masks else None
    )
    dropped: Counter[str] = Counter()
    rows: list[int] = []
    landmarks: list[NDArray[np.float32]] = []
    with Progress(f"frame {name}", len(chosen), "picture") as progress:
        for row, (framed, mask) in enumerate(_frame_rows(source, chosen)):
            progress.advance()
            if isinstance(framed, str):
                dropped[framed] += 1
                continue
            pictures[len(rows)] = framed.picture
            if labels is not None and mask is not None:
                labels[len(rows)] = mask
            rows.append(row)
            landmarks.append(framed.landmarks)
    if not rows:
        raise UserError(f"faces.{name}: no picture of {source.pictures} has a usable face")
    index = chosen.iloc[rows].reset_index(drop=True)
    points = np.reshape(landmarks, (len(rows), len(LANDMARK_COLUMNS))).round(2)
    index = index.join(pd.DataFrame(points, columns=list(LANDMARK_COLUMNS)))
    kept = slice(len(rows))
    return Frames(index, pictures[kept], None if labels is None else labels[kept], dropped)


def _frame_rows(
    source: Source, chosen: pd.DataFrame
) -> Iterator[tuple[FramedFace | str, NDArray[np.uint8] | None]]:
    """Face and, of a training picture with masks, parsing map of every row, in order."""

    def work(item: tuple[str, str]) -> tuple[FramedFace | str, NDArray[np.uint8] | None]:
        file, split = item
        framed = source.frame(file)
        wanted = source.masks and split == "train" and not isinstance(framed, str)
        return framed, source.labels(file) if wanted else None

    items = list(zip(chosen["file"], chosen["split"], strict=True))
    workers = 1 if source.detects else min(WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), BATCH):
            yield from pool.map(work, items[start : start + BATCH])


def embed_faces(name: str, frames: Frames, embedder: FaceEmbedder) -> NDArray[np.float32]:
    """Unit vectors [N, D] of framed faces."""
    points = frames.index[list(LANDMARK_COLUMNS)].to_numpy(np.float32).reshape(-1, 5, 2)
    parts = []
    with Progress(f"embed {name}", len(points), "face") as progress:
        for start in range(0, len(points), BATCH):
            rows = slice(start, start + BATCH)
            parts.append(embedder.embed_batch(frames.pictures[rows], points[rows]))
            progress.advance(len(parts[-1]))
    return np.concatenate(parts)


def write_source(out: Path, frames: Frames, kept: NDArray[np.bool_]) -> None:
    """Write index, pictures by split and training labels of the faces that are kept."""
    for split in SPLITS:
        rows = np.flatnonzero(kept & (frames.index["split"] == split).to_numpy())
        write_rows(out / f"{split}.npy", frames.pictures, rows)
        if split == "train" and frames.labels is not None:
            write_rows(out / LABELS, frames.labels, rows)
    text = to_csv(frames.index[kept], index=False)
    write_text(out / INDEX, text)


def own_labels(folder: Path) -> NDArray[np.uint8] | None:
    """Parsing maps [N, S, S] of a prepared source's training faces, if the set has masks.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / LABELS
    try:
        labels: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: damaged: run `dvc repro -f faces`") from error
    return labels


def write_rows(path: Path, array: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
    """Write rows of an array as a NumPy file, a few at a time."""
    shape = (len(rows), *array.shape[1:])
    with atomic_write(path) as stream:
        np.lib.format.write_array_header_1_0(
            stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        for start in range(0, len(rows), BATCH):
            stream.write(array[rows[start : start + BATCH]].tobytes())


def list_hash(source: Source) -> str:
    """SHA-256 of a set's list of files: name, size in bytes and split of each."""
    lines = (
        f"{normalise_name(file)} {(source.pictures / file).stat().st_size} {split}\n"
        for file, split in zip(source.index["file"], source.index["split"], strict=True)
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _counts(index: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Pictures and people by split."""
    return {
        split: {"pictures": len(part), "people": int(part["person"].nunique())}
        for split in SPLITS
        for part in [index[index["split"] == split]]
    }
