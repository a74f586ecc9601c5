"""Banks of blur kernels: made once from the seed, kept as arrays with a SHA-256."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from dfpg.core.config import NOMINAL_SIZES, REFERENCE_SIZE, Config
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import atomic_write, read_json, sha256, write_text
from dfpg.core.paths import KERNELS
from dfpg.core.progress import Progress
from dfpg.core.seeds import generator
from dfpg.data.blur.splines import spline_kernels
from dfpg.data.blur.trajectories import trajectory_kernels

Family = Literal["spline", "trajectory"]
Split = Literal["train", "test", "validation"]
FAMILIES: tuple[Family, ...] = ("spline", "trajectory")
SPLITS: tuple[Split, ...] = ("train", "test", "validation")
MANIFEST = "manifest.json"
DESCRIBED = 100  # kernels of a group whose shape is reported, at most: it takes 1.5 ms each


@dataclass(frozen=True)
class KernelBank:
    """Kernels of one family at one image size.

    ``train``, ``test`` and ``validation`` map a nominal size (13 ... 27, at 128 px) to float32
    [N, K, K] with K = :func:`canvas_size`; every kernel is non-negative and sums to 1.
    """

    family: Family
    train: dict[int, NDArray[np.float32]]
    test: dict[int, NDArray[np.float32]]
    validation: dict[int, NDArray[np.float32]] = field(default_factory=dict)


def canvas_size(nominal: int, image_size: int) -> int:
    """Smallest odd side that holds a kernel of ``nominal`` px at 128 px scaled to ``image_size``.

    The ratio is nominal * image_size / 128, in pixels of the target image.
    """
    side = -(-nominal * image_size // REFERENCE_SIZE)
    return side + 1 - side % 2


def make_kernels(config: Config, family: Family, split: Split, nominal: int) -> NDArray[np.float32]:
    """Kernels [N, K, K] of one family, split and nominal size, a function of the seed alone.

    Raises:
        UserError: the counts in ``params.yaml`` leave no kernel for this size.
    """
    rng = generator(config.seed, "kernels", family, split, nominal)
    spline = config.kernels.spline
    if family == "spline":
        count = getattr(spline, split)
    else:
        count = getattr(config.kernels.trajectory, split) // len(NOMINAL_SIZES)
        if not count:
            raise UserError(
                f"kernels.trajectory.{split}: less than one kernel per size: "
                f"use at least {len(NOMINAL_SIZES)}"
            )
    return draw_kernels(rng, family, nominal, count, spline.inner_margin, config.image_size)


def draw_kernels(
    rng: np.random.Generator,
    family: Family,
    nominal: int,
    count: int,
    inner_margin: int,
    image_size: int,
) -> NDArray[np.float32]:
    """Kernels [count, K, K] of one family and nominal size, K = :func:`canvas_size`.

    Args:
        rng: where they are drawn from.
        family: of the kernels.
        nominal: size at 128 px, odd.
        count: of kernels, at least 1.
        inner_margin: of splines, see :func:`dfpg.data.blur.splines.spline_kernels`.
        image_size: px.
    """
    canvas = canvas_size(nominal, image_size)
    if family == "spline":
        return spline_kernels(rng, count, nominal, inner_margin, image_size, canvas)
    return trajectory_kernels(rng, count, nominal, image_size, canvas)


@within_memory("kernels.spline, kernels.trajectory or image_size")
def build_kernels(config: Config, out: Path) -> None:
    """Write ``spline.safetensors``, ``trajectory.safetensors`` and ``manifest.json`` into ``out``.

    The files' bytes depend on ``config.kernels``, ``config.image_size`` and ``config.seed`` only.
    """
    total = len(FAMILIES) * len(SPLITS) * len(NOMINAL_SIZES)
    with Progress("kernels", total, "group") as progress:
        for family in FAMILIES:
            arrays = {}
            for split in SPLITS:
                for nominal in NOMINAL_SIZES:
                    arrays[f"{split}/{nominal}"] = make_kernels(config, family, split, nominal)
                    progress.advance()
            with atomic_write(out / f"{family}.safetensors") as stream:
                stream.write(save(arrays))
    hashes = {f"{family}.safetensors": sha256(out / f"{family}.safetensors") for family in FAMILIES}
    write_text(out / MANIFEST, json.dumps({"sha256": hashes}, indent=2) + "\n")


def load_kernels(path: Path) -> KernelBank:
    """Read ``spline.safetensors`` or ``trajectory.safetensors``, checked against its manifest.

    Raises:
        UserError: a file is missing, damaged or not the one that the manifest names.
    """
    if path.stem not in FAMILIES:
        raise UserError(f"{path}: not a kernel bank: expected one of {', '.join(FAMILIES)}")
    manifest = path.with_name(MANIFEST)
    try:
        expected = read_json(manifest)["sha256"][path.name]
        actual = sha256(path)
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename}: no such file: run `dvc repro kernels` to make it"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{manifest}: damaged manifest: delete it and run `dvc repro kernels`"
        ) from error
    if actual != expected:
        raise UserError(
            f"{path}: damaged (SHA-256 differs from {MANIFEST}): "
            "delete it and run `dvc repro kernels`"
        )
    try:
        arrays = load_file(path)
        parts = [{k: arrays[f"{split}/{k}"] for k in NOMINAL_SIZES} for split in SPLITS]
    except (SafetensorError, KeyError) as error:
        raise UserError(f"{path}: not a kernel bank ({error}): run `dvc repro kernels`") from error
    return KernelBank(path.stem, *parts)


def centroids(kernels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centroids [N, 2] (row, column) relative to the middle pixel, in px, of kernels [N, K, K]."""
    offsets = np.arange(kernels.shape[-1]) - kernels.shape[-1] // 2
    wide = kernels.astype(np.float64)
    return np.stack([wide.sum(2) @ offsets, wide.sum(1) @ offsets], 1)


def kernel_report(bank: KernelBank) -> pd.DataFrame:
    """Counts, sums, centroids and shapes, one row per split and nominal size.

    ``centroid_offset`` is the mean distance of the centroid from the middle pixel, in px at the
    bank's image size; the descriptors of :mod:`dfpg.data.blur.descriptors` are medians of the first
    ``DESCRIBED`` kernels.
    """
    from dfpg.data.blur.descriptors import describe

    rows = []
    for split in SPLITS:
        for nominal, kernels in getattr(bank, split).items():
            sums = kernels.astype(np.float64).sum((1, 2))
            rows.append(
                {
                    "family": bank.family,
                    "split": split,
                    "nominal": nominal,
                    "count": len(kernels),
                    "canvas": kernels.shape[-1],
                    "sum_min": sums.min(),
                    "sum_max": sums.max(),
                    "centroid_offset": np.hypot(*centroids(kernels).T).mean(),
                    **describe(kernels[:DESCRIBED]).median(),
                }
            )
    return pd.DataFrame(rows)


def kernel_sheet(bank: KernelBank, path: Path, columns: int = 12) -> None:
    """Draw the first test kernels of every size, one size per row, and the mean of all, as PNG.

    Every kernel is drawn at its own maximum on a canvas of the largest size; the square root of
    the weight is shown, so that faint parts are seen.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tile = max(kernels.shape[-1] for kernels in bank.test.values()) + 2
    columns = min(columns, max(map(len, bank.test.values())))
    sheet = np.full((tile * len(bank.test), tile * (columns + 1)), np.nan)
    for row, kernels in enumerate(bank.test.values()):
        side = kernels.shape[-1]
        margin = (tile - side) // 2
        for column, kernel in enumerate([*kernels[:columns], kernels.mean(0)]):
            place = columns if column == min(columns, len(kernels)) else column
            top, left = row * tile + margin, place * tile + margin
            sheet[top : top + side, left : left + side] = np.sqrt(kernel / kernel.max())
    figure = Figure(figsize=(columns + 2.2, len(bank.test) + 1.1), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_facecolor("0.35")
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(
        [(row + 0.5) * tile - 0.5 for row in range(len(bank.test))],
        [f"{nominal} ({kernels.shape[-1]} px)" for nominal, kernels in bank.test.items()],
    )
    axes.set_xticks(
        [(column + 0.5) * tile - 0.5 for column in range(columns + 1)],
        [*(str(column) for column in range(columns)), "mean"],
    )
    axes.axvline(columns * tile - 0.5, color="white", linewidth=2)
    axes.tick_params(length=0)
    axes.set_xlabel("index of the test kernel")
    axes.set_ylabel("nominal size (canvas)")
    axes.set_title(f"{bank.family} test kernels, square root of the weight")
    with atomic_write(path) as stream:
        figure.savefig(stream, format="png", dpi=100)


def load_bank(family: str) -> KernelBank:
    """Kernels of one family, as the stage ``kernels`` made them."""
    return load_kernels(KERNELS / f"{family}.safetensors")
