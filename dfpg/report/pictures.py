"""What the report needs of the networks: restored example faces, and what a picture costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dfpg.analysis.records import csv_text
from dfpg.core.config import Config
from dfpg.core.files import write_image, write_text
from dfpg.methods.cost import SIDE, cost
from dfpg.methods.registry import method_class
from dfpg.report.facts import CostRecord
from dfpg.report.sheet import Example, SheetColumn, image_psnr


def write_pictures(path: Path, chosen: Sequence[Example], shown: Sequence[SheetColumn]) -> None:
    """Write pictures side by side as PNG, one row per example, and a JSON that names them.

    Args:
        path: PNG to write; the JSON lies beside it.
        chosen: examples in the order of the columns' pictures.
        shown: columns of one picture size; the last one holds the sharp pictures.
    """
    mosaic = np.concatenate(
        [
            np.concatenate([column.pictures[row] for column in shown], axis=1)
            for row in range(len(chosen))
        ]
    )
    psnr = [image_psnr(column.pictures, shown[-1].pictures) for column in shown[:-1]]
    content = {
        "side": shown[0].pictures.shape[1],
        "columns": [column.heading for column in shown],
        "examples": [
            {
                "image": example.image,
                "label": example.label.replace("\n", ", "),
                "psnr": [round(float(values[row]), 2) for values in psnr],
            }
            for row, example in enumerate(chosen)
        ],
    }
    write_image(path, mosaic)
    write_text(path.with_suffix(".json"), json.dumps(content, indent=1) + "\n")


def write_costs(config: Config, path: Path) -> None:
    """Write system, parameters and GMACs of every run, for one picture of 128 x 128 px, as CSV."""
    records = []
    for run, settings in config.runs.items():
        system, found = method_class(settings.method).system, cost(config, run)
        records.append(
            CostRecord(
                run=run,
                method=settings.method,
                system=system.title,
                paper=f"{system.paper} {system.year}",
                published_weights=system.weights,
                parameters=found.parameters,
                gmacs=found.macs / 1e9,
                side=SIDE,
            )
        )
    write_text(path, csv_text(CostRecord, records))
