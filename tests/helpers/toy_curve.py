"""Invented part-files, in the shape that `dfpg robustness` writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from dfpg.core.config import Config
from dfpg.core.seeds import generator
from dfpg.evaluation.per_image import write_per_image
from dfpg.evaluation.robustness.moves import MOVES, Move
from dfpg.paper.rows import evaluation_protocols
from dfpg.paper.tables import TEST_IMAGES

PEOPLE = 12
Gain = Callable[[str, Move], float]  # run and move -> dB above blurred


def part(method: str, protocols: tuple[str, ...], gain: float | Callable[[Move], float]):
    """One method's rows: what people share, plus noise of its own a tenth as large."""
    frames = []
    for protocol in protocols:
        shared = generator(3, protocol).normal(size=(PEOPLE, len(MOVES)))
        own = 0.1 * generator(3, protocol, method).normal(size=shared.shape)
        for number, move in enumerate(MOVES):
            lift = gain(move) if callable(gain) else gain
            values = 23 + shared[:, number] + lift + own[:, number] * (method != "blurred")
            frames.append(
                pd.DataFrame(
                    {
                        "method": method,
                        "test_set": TEST_IMAGES[protocol],
                        "image": np.arange(PEOPLE) + number * PEOPLE,
                        "mode": move.mode,
                        "subset": "celeba",
                        "person": [f"{protocol}{person}" for person in range(PEOPLE)],
                        "face": "face.jpg",
                        "kernel": 0,
                        "size": 13,
                        "mirrored": 0.25 if move.mode == "scale 0.75" else 0.0,
                        "psnr": values,
                        "ssim_matlab_rgb": np.minimum(values / 40, 1.0),
                    }
                )
            )
    return pd.concat(frames)


def write_parts(config: Config, folder: Path, gain: Gain, runs: list[str] | None = None) -> Path:
    """Part-files and cards of the baselines and of ``runs``, all where none are given."""
    both = tuple(config.protocols)
    baselines = [part("blurred", both, 0.0), part("sharp", both, np.inf)]
    write_per_image(pd.concat(baselines), folder / "baselines.csv")
    for run in runs or config.runs:
        rows = part(run, evaluation_protocols(config, run), lambda move, run=run: gain(run, move))
        write_per_image(rows, folder / f"{run}.csv")
    for path in folder.glob("*.csv"):
        card = {"weights": "" if path.stem == "baselines" else "ab" * 32, "device": "cpu"}
        path.with_suffix(".json").write_text(json.dumps(card | {"fingerprint": "toy"}))
    return folder
