"""Averaged weights on the way of a training, from which budgets can be scored later."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from dfpg.core.files import write_text
from dfpg.methods.base import Method
from dfpg.methods.weights import save_weights

INDEX = "index.csv"


def snapshot_steps(shares: Sequence[float], steps: int) -> set[int]:
    """Steps behind the weights that are kept, of a run of ``steps``: at least one each."""
    return {max(1, round(share * steps)) for share in shares}


def write_snapshots(
    folder: Path, method: Method, snapshots: Mapping[int, Mapping[str, Tensor]], batch_size: int
) -> None:
    """Write one weights file per snapshot, and an index; what else the folder held goes.

    Each file is what :func:`dfpg.methods.registry.build_restorer` reads. The index has the columns
    step, images and file, and is there without snapshots, too.

    Args:
        folder: to write.
        method: whose generator it is.
        snapshots: states by the step behind them.
        batch_size: images per step.
    """
    shutil.rmtree(folder, ignore_errors=True)
    index = io.StringIO()
    table = csv.writer(index, lineterminator="\n")
    table.writerow(["step", "images", "file"])
    for step, state in sorted(snapshots.items()):
        name = f"step-{step:09d}.safetensors"
        save_weights(folder / name, method, step, state)
        table.writerow([step, step * batch_size, name])
    write_text(folder / INDEX, index.getvalue())
