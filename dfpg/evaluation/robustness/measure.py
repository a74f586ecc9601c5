"""Moved test faces, blurred as in the test set, scored for every run; one part-file per run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from dfpg.core.closure import closure, digest
from dfpg.core.config import Config, ProtocolName
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import read_json, sha256, write_text
from dfpg.core.seeds import generator
from dfpg.data.blur.degrade import add_noise, blur, quantise, quantise_unit, to_unit
from dfpg.data.blur.kernels import KernelBank
from dfpg.data.faces.dataset import FaceSet
from dfpg.data.stratify import pick_one_per_person
from dfpg.data.testsets import MANIFEST, TestSet
from dfpg.evaluation.restore import evaluation_precision, load_restore
from dfpg.evaluation.robustness.moved_faces import move_faces
from dfpg.evaluation.robustness.moves import BASELINE_PART, DIRECTIONS, MOVES, Move
from dfpg.evaluation.score import score_testsets
from dfpg.metrics.psnr import Psnr
from dfpg.metrics.ssim import SSIM_MATLAB_RGB
from dfpg.paper.rows import evaluation_protocols
from dfpg.paper.tables import TEST_SETS

PEOPLE = 24  # per protocol, one image each: the curve's resolution, not the tables'


@dataclass(frozen=True)
class Inputs:
    """Where the artifacts lie; ``parts`` is the folder of the part-files."""

    weights: Path
    testsets: Path
    kernels: Path
    parts: Path


@within_memory("evaluation.batch_size")
def measure(
    config: Config,
    runs: Sequence[str],
    images: Mapping[ProtocolName, TestSet],
    inputs: Inputs,
    device: torch.device,
) -> list[str]:
    """Score the baselines and every run on the moved faces, but for what is already up to date.

    A part is a per-image CSV (``mode`` names the move) and a card beside it, written last: its
    weights, device, and a fingerprint of everything that the scores depend on. A part whose card
    does not fit is made again.

    Args:
        config: the profile.
        runs: keys of ``runs``; those without weights are left out.
        images: :func:`move_images` of every protocol.
        inputs: weights, what the images were made of, and where the parts go.
        device: where methods and metrics run.

    Returns:
        Lines that say what was done.

    Raises:
        UserError: none of the runs has weights, or weights are damaged.
    """
    present = [run for run in config.runs if _weights(inputs, run).exists()]
    if not set(present) & set(runs):
        raise UserError(f"{inputs.weights}: no weights of {', '.join(runs)}; train a run first")
    lines = []
    for name in (BASELINE_PART, *config.runs):
        path = inputs.parts / f"{name}.csv"
        known = name == BASELINE_PART or name in present
        card = _card(config, name, inputs, device) if known else None
        if card and _is_current(path, card):
            lines.append(f"{name}: up to date")
        elif card and name in (BASELINE_PART, *runs):
            lines.append(f"{name}: {_measure(config, name, images, inputs, device):.0f} images/s")
            write_text(_card_path(path), json.dumps(card, indent=2) + "\n")
        elif path.exists():
            _discard(path)
            lines.append(f"{name}: its part-file was of other weights or images, removed")
    return lines


def _measure(
    config: Config,
    name: str,
    images: Mapping[ProtocolName, TestSet],
    inputs: Inputs,
    device: torch.device,
) -> float:
    """Write one part-file; images per second."""
    path = inputs.parts / f"{name}.csv"
    _discard(path)  # tables must not find old scores where this is stopped
    metrics = {metric.name: metric for metric in (Psnr(), SSIM_MATLAB_RGB)}
    restore, protocols = None, tuple(images)
    if name != BASELINE_PART:
        restore = load_restore(config, _weights(inputs, name), device)
        protocols = evaluation_protocols(config, name)
    chosen: dict[ProtocolName, TestSet] = {protocol: images[protocol] for protocol in protocols}
    with torch.inference_mode():
        return score_testsets(config, name, restore, chosen, metrics, path, str(device))


def move_images(
    config: Config,
    protocol: ProtocolName,
    index: pd.DataFrame,
    kernels: KernelBank,
    faces: Mapping[str, FaceSet],
) -> TestSet:
    """The same images of a test set for every move: face moved, then blurred by its own kernel.

    Kernel, noise and direction of an image are the same for all moves, so that unmoved it is the
    image of the test set.

    Args:
        config: seed, sizes and noise.
        protocol: "a" or "b".
        index: the test set's index.
        kernels: the protocol's family.
        faces: test faces by source.

    Returns:
        Images of all moves, ``mode`` naming the move; the index has the column ``mirrored`` more,
        the share of the sharp face that is a mirror image.

    Raises:
        UserError: the test set has no centred faces, or not those of ``faces``.
    """
    rows = choose_images(config, protocol, index)
    settings = config.protocols[protocol]
    stream = generator(config.seed, "robustness", protocol, "directions")
    directions = torch.from_numpy(stream.permutation(np.arange(len(rows)) % DIRECTIONS))
    sharp, mirrored = [], []
    for move in MOVES:
        views, shares = _views(config, protocol, rows, faces, move, directions)
        sharp.append(views)
        mirrored.append(shares)
    noise = torch.from_numpy(
        np.stack(
            [
                generator(config.seed, "testset", protocol, "noise", image).standard_normal(
                    tuple(sharp[0].shape[1:]), np.float32
                )
                for image in rows["image"]
            ]
        )
    )
    blurred = []
    for faces_of_move in sharp:
        images = to_unit(faces_of_move)
        for size in sorted(set(rows["size"])):
            chosen = np.flatnonzero(rows["size"] == size)
            bank = torch.from_numpy(kernels.test[int(size)][rows["kernel"].to_numpy()[chosen]])
            images[chosen] = blur(images[chosen], bank)
        if settings.test.noise:
            images = add_noise(images, noise, settings.test.noise, white=1)
        blurred.append(quantise_unit(images))
    table = pd.concat([rows.assign(mode=move.mode) for move in MOVES], ignore_index=True)
    table["image"] = table["sharp"] = table.index  # evaluate reads image i from row i
    table["mirrored"] = torch.cat(mirrored).numpy().astype(np.float64)
    return TestSet(_to_channels_last(sharp), _to_channels_last(blurred), table)


def choose_images(config: Config, protocol: ProtocolName, index: pd.DataFrame) -> pd.DataFrame:
    """Rows of the test set's centred images: one per person, ``PEOPLE`` shared by its subsets.

    Raises:
        UserError: the test set has no centred faces.
    """
    mode = next(test_set.mode for test_set in TEST_SETS.values() if test_set.protocol == protocol)
    centred = index[index["mode"] == mode]
    if centred.empty:
        raise UserError(
            f"protocols.{protocol}.test.modes: no {mode} faces, which the curve moves: add {mode}"
        )
    subsets = list(dict.fromkeys(centred["subset"]))
    chosen: list[int] = []
    for number, subset in enumerate(subsets):
        rows = centred[centred["subset"] == subset]
        share = PEOPLE // len(subsets) + (number < PEOPLE % len(subsets))
        stream = generator(config.seed, "robustness", protocol, "people", subset)
        chosen += pick_one_per_person(rows, share, stream)
    return index.loc[chosen].reset_index(drop=True)


def _views(
    config: Config,
    protocol: ProtocolName,
    rows: pd.DataFrame,
    faces: Mapping[str, FaceSet],
    move: Move,
    directions: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Moved faces of the rows, uint8 [N, 3, H, W], and the mirrored share of each [N]."""
    settings = config.protocols[protocol]
    views, shares = [], []
    for row, direction in zip(rows.itertuples(), directions, strict=True):
        subset = settings.test.subsets[str(row.subset)]
        source = faces[subset.source]
        if row.face not in source.names:
            raise UserError(
                f"test set {protocol}: {row.face} is no test face of {subset.source}: "
                "run `dvc repro testsets` to make it again"
            )
        picture = torch.from_numpy(np.array(source.pictures[source.names.index(row.face)])[None])
        crop = subset.crop or settings.crop
        view, share = move_faces(picture, crop, config.image_size, move, direction[None])
        views.append(quantise(view))
        shares.append(share)
    return torch.cat(views), torch.cat(shares)


def _to_channels_last(parts: Iterable[torch.Tensor]) -> NDArray[np.uint8]:
    """[N, 3, H, W] -> [N, H, W, 3]."""
    images: NDArray[np.uint8] = torch.cat(list(parts)).permute(0, 2, 3, 1).contiguous().numpy()
    return images


def _weights(inputs: Inputs, run: str) -> Path:
    return inputs.weights / f"{run}.safetensors"


def _card_path(part: Path) -> Path:
    """The card of a part-file."""
    return part.with_suffix(".json")


def _discard(part: Path) -> None:
    for path in (_card_path(part), part):
        path.unlink(missing_ok=True)


def _card(config: Config, name: str, inputs: Inputs, device: torch.device) -> dict[str, str]:
    """Weights, device, and a hash of all that a part's scores depend on."""
    trained = name != BASELINE_PART
    protocols = evaluation_protocols(config, name) if trained else tuple(config.protocols)
    methods = [f"dfpg.methods.{config.runs[name].method}"] if trained else []
    card = {"weights": sha256(_weights(inputs, name)) if trained else "", "device": device.type}
    facts = {
        **card,
        "seed": config.seed,
        "images": {
            protocol: [
                sha256(inputs.testsets / protocol / MANIFEST),
                sha256(inputs.kernels / f"{config.protocols[protocol].kernels}.safetensors"),
                config.protocols[protocol].crop,
                config.protocols[protocol].test.model_dump(mode="json"),
            ]
            for protocol in protocols
        },
        "code": digest(closure(__name__, *methods)),
        "precision": evaluation_precision(config, device) if trained else "",
        "torch": torch.__version__,
    }
    return card | {
        "fingerprint": hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    }


def _is_current(path: Path, card: Mapping[str, str]) -> bool:
    try:
        return path.exists() and read_json(_card_path(path)) == card
    except (OSError, ValueError):
        return False
