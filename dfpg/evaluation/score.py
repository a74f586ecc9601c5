"""Method x test sets -> per-image CSV, one row per image and method."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dfpg.core.config import Config, ProtocolName
from dfpg.core.errors import UserError, within_memory
from dfpg.core.progress import Progress
from dfpg.evaluation.per_image import write_per_image
from dfpg.paper.tables import BASELINES, TEST_IMAGES

if TYPE_CHECKING:
    from torch import Tensor

    from dfpg.data.testsets import TestSet
    from dfpg.metrics.common import Metric


class Restore(Protocol):
    """What a method does here: blurred -> restored, both float [N, 3, H, W] RGB in [-1, 1]."""

    def __call__(self, blurred: Tensor, /) -> Tensor:
        """Restore a batch."""
        ...


@runtime_checkable
class RestoreRows(Protocol):
    """What fills several rows at once (:class:`dfpg.evaluation.classical.ClassicalRows`)."""

    def restore_rows(
        self, protocol: str, rows: pd.DataFrame, blurred: NDArray[np.uint8], /
    ) -> Mapping[str, NDArray[np.uint8]]:
        """Restored images [N, 3, H, W] by row, of a batch of the index and its images."""
        ...


class Observe(Protocol):
    """Sees every image that is scored (:class:`dfpg.evaluation.recognition.observe.Recogniser`)."""

    def __call__(
        self, protocol: ProtocolName, method: str, rows: pd.DataFrame, images: NDArray[np.uint8], /
    ) -> None:
        """Take a batch of one method: rows of the index, RGB uint8 [N, H, W, 3]."""
        ...


@within_memory("evaluation.batch_size")
def score_testsets(
    config: Config,
    name: str,
    restore: Restore | RestoreRows | None,
    testsets: Mapping[ProtocolName, TestSet],
    metrics: Mapping[str, Metric],
    out: Path,
    device: str = "cpu",
    observe: Observe | None = None,
    progress: Progress | None = None,
) -> float:
    """Score one method on every image of the test sets and write the per-image CSV.

    Restored images are quantised to uint8 before any metric. Images are visited by sharp face, so
    that the features of a face are computed once per batch for all metrics and rows.

    Args:
        config: ``evaluation.batch_size`` images at a time.
        name: run name, written into the column ``method``.
        restore: the method, or the classical rows; ``None`` writes the two baselines instead,
            ``sharp`` (restored = sharp) and ``blurred`` (restored = blurred).
        testsets: by protocol; the column ``test_set`` names them as ``TEST_IMAGES`` does.
        metrics: column name -> metric.
        out: the CSV.
        device: where the metrics and the method run.
        observe: is shown the quantised images, batch by batch.
        progress: a bar to advance, where this is part of more; it gets the images' number.

    Returns:
        Images per second.

    Raises:
        UserError: a restored image is not finite or has another shape.
    """
    total = sum(len(testset.index) for testset in testsets.values())
    started = time.monotonic()
    frames = []
    with nullcontext(progress) if progress else Progress(f"evaluate {name}", total, "image") as bar:
        for protocol in sorted(testsets):
            testset = testsets[protocol]
            rows = testset.index.sort_values(["sharp", "image"])
            for start in range(0, len(rows), config.evaluation.batch_size):
                batch = rows.iloc[start : start + config.evaluation.batch_size]
                for method, (images, scores) in _score_batch(
                    name, restore, protocol, testset, batch, metrics, device
                ).items():
                    if observe is not None:
                        observe(protocol, method, batch, images.permute(0, 2, 3, 1).cpu().numpy())
                    keys = batch.drop(columns="sharp").assign(
                        method=method, test_set=TEST_IMAGES[protocol]
                    )
                    frames.append(keys.assign(**scores))
                bar.advance(len(batch))
    write_per_image(pd.concat(frames, ignore_index=True), out)
    return total / (time.monotonic() - started)


def _score_batch(
    name: str,
    restore: Restore | RestoreRows | None,
    protocol: ProtocolName,
    testset: TestSet,
    batch: pd.DataFrame,
    metrics: Mapping[str, Metric],
    device: str,
) -> dict[str, tuple[Tensor, dict[str, NDArray[np.float64]]]]:
    """Method -> images uint8 [N, 3, H, W], and metric -> scores [N], of one batch of index rows."""
    import torch

    def load(images: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(images[rows].transpose(0, 3, 1, 2))).to(device)

    faces, position = np.unique(batch["sharp"].to_numpy(), return_inverse=True)
    face_of = torch.from_numpy(position).to(device)
    sharp = load(testset.sharp, faces)
    blurred = load(testset.blurred, batch["image"].to_numpy())
    with torch.inference_mode():
        if restore is None:
            restored = dict(zip(BASELINES, (sharp[face_of], blurred), strict=True))
        elif isinstance(restore, RestoreRows):
            found = restore.restore_rows(protocol, batch, blurred.cpu().numpy())
            restored = {row: torch.from_numpy(made).to(device) for row, made in found.items()}
        else:
            restored = {name: _restore(name, restore, blurred)}
        scores = score_images(restored, sharp, face_of, metrics)
    return {method: (images, scores[method]) for method, images in restored.items()}


def score_images(
    restored: Mapping[str, Tensor], sharp: Tensor, face_of: Tensor, metrics: Mapping[str, Metric]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Scores of one batch of several methods, the sharp faces' features computed once.

    Args:
        restored: method -> images uint8 [N, 3, H, W].
        sharp: uint8 [F, 3, H, W].
        face_of: row of ``sharp`` that belongs to each image, [N].
        metrics: column name -> metric.

    Returns:
        Method -> metric -> scores [N].
    """
    scores: dict[str, dict[str, NDArray[np.float64]]] = {method: {} for method in restored}
    for metric_name, metric in metrics.items():
        features = tuple(part[face_of] for part in metric.features(sharp))
        for method, images in restored.items():
            scores[method][metric_name] = metric.score(images, features).cpu().numpy()
    return scores


def _restore(name: str, restore: Restore, blurred: Tensor) -> Tensor:
    """Run the method and quantise; uint8 [N, 3, H, W] in and out."""
    from dfpg.data.blur.degrade import quantise

    restored = restore(blurred.float() / 127.5 - 1)
    if restored.shape != blurred.shape:
        raise UserError(
            f"{name}: restored images have shape {list(restored.shape)} instead of "
            f"{list(blurred.shape)}: correct the method's restore"
        )
    if not bool(restored.isfinite().all()):
        raise UserError(f"{name}: restored images are not finite: train the run again")
    return quantise(restored.float())
