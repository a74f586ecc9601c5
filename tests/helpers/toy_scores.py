"""Invented per-image scores of all runs, in the shape that `evaluate` writes."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
from helpers.csv_files import read_rows

from dfpg.analysis.submissions import SubmissionCard, reference_hashes
from dfpg.core.config import Config
from dfpg.core.files import write_text
from dfpg.core.seeds import generator
from dfpg.evaluation.per_image import (
    KEYS,
    RECOGNITION_COLUMNS,
    read_per_image,
    read_recognition,
    write_per_image,
    write_recognition,
)
from dfpg.evaluation.recognition.pairs import Pair, write_pairs
from dfpg.evaluation.recognition.references import table3_rows
from dfpg.paper.rows import evaluation_protocols
from dfpg.paper.tables import CLASSICAL, RECOGNITION, TEST_IMAGES

METRICS = (
    "psnr",
    "ssim_matlab_rgb",
    "ssim_wang_rgb",
    "lpips_alex",
    "lpips_vgg",
    "lpips_vgg_authors",
    "d_vgg_authors",
)
PEOPLE = 10
IMAGES = 20  # per subset and mode
HOSTILE = "<script>alert(1)</script>"  # text from files that others write


def few_runs(config: Config, *names: str) -> Config:
    """The profile with these runs alone: tables of all of them take many seconds."""
    return config.model_copy(update={"runs": {name: config.runs[name] for name in names}})


def index_rows(config: Config, protocol: str) -> pd.DataFrame:
    rows = []
    for subset in config.protocols[protocol].test.subsets:
        for mode in config.protocols[protocol].test.modes:
            for number in range(IMAGES):
                person = f"{subset}-{number % PEOPLE}"
                rows.append((subset, mode, person, f"{person}.jpg", number % 10, 13))
    names = ["subset", "mode", "person", "face", "kernel", "size"]
    return pd.DataFrame(rows, columns=names).rename_axis("image").reset_index()


def scores_of(config: Config, method: str, protocols: tuple[str, ...], lift: float) -> pd.DataFrame:
    """Scores ``lift`` dB (and as much in the other metrics) above those of ``blurred``."""
    frames = []
    for protocol in protocols:
        rows = index_rows(config, protocol)
        shared = generator(1, protocol).normal(size=(len(rows), len(METRICS)))
        own = generator(1, protocol, method).normal(size=shared.shape)
        values = pd.DataFrame(shared + 0.1 * own * (method != "blurred"), columns=METRICS)
        for name in METRICS:
            good = name == "psnr" or name.startswith("ssim")
            scale, level = {"p": (1.0, 23.0), "s": (0.02, 0.7)}.get(name[0], (0.03, 0.4))
            if name.startswith("d_vgg"):
                scale, level = 5.0, 80.0
            values[name] = level + scale * (values[name] + lift * (1 if good else -1))
            if method == "sharp":
                values[name] = np.inf if name == "psnr" else float(good)
        keys = rows.assign(method=method, test_set=TEST_IMAGES[protocol])
        frames.append(pd.concat([keys, values], axis=1))
    return pd.concat(frames)[[*KEYS, *METRICS]]


def recognition_of(
    config: Config, method: str, protocols: tuple[str, ...], lost: float
) -> pd.DataFrame:
    """Table 3's rows of a method: a share ``lost`` of faces is not found, the rest is told apart.

    Squared distances are normal about 0.9 (positive) and 1.7 (negative).
    """
    if RECOGNITION.protocol not in protocols:
        return pd.DataFrame(columns=[*KEYS, *RECOGNITION_COLUMNS])
    rows = table3_rows(index_rows(config, RECOGNITION.protocol))
    rng = generator(2, method)
    values = pd.DataFrame(1.0, index=rows.index, columns=list(RECOGNITION_COLUMNS))
    for points in ("detected", "sharp"):
        for kind, mean in (("positive", 0.9), ("negative", 1.7)):
            values[f"{points}_{kind}"] = rng.normal(mean, 0.3, len(rows)).clip(0.01, 3.99)
    hidden = rng.permutation(len(rows)) < lost * len(rows)
    found = [n for n in RECOGNITION_COLUMNS if n.startswith(("dlib_hog", "scrfd", "detected"))]
    values.loc[hidden, found] = np.nan
    values.loc[hidden, "scrfd_faces"] = 0
    keys = rows.assign(method=method, test_set=TEST_IMAGES[RECOGNITION.protocol])
    return pd.concat([keys, values], axis=1)


def write_recognition_artifacts(config: Config, folder: Path) -> None:
    """Recognition CSVs of the baselines and every run, the pairs and the embedder's card."""
    both = tuple(TEST_IMAGES)
    baselines = [
        recognition_of(config, name, both, lost) for name, lost in (("sharp", 0), ("blurred", 0.3))
    ]
    write_recognition(baselines, folder / "recognition" / "baselines.csv")
    filters = [recognition_of(config, name, both, 0.2) for name in CLASSICAL]
    write_recognition(filters, folder / "recognition" / "classical.csv")
    for name in config.runs:
        rows = recognition_of(config, name, evaluation_protocols(config, name), 0.1)
        write_recognition([rows], folder / "recognition" / f"{name}.csv")
    people = [f"{RECOGNITION.subset}-{number}" for number in range(PEOPLE)]
    pairs = [Pair(one, f"{one}.jpg", f"x{one}.jpg", f"other {one}") for one in people]
    write_pairs(pairs, folder / "references" / "pairs.csv")
    (folder / "references" / "embedder.json").write_text('{"embedder": "toy"}')


def write_artifacts(config: Config, folder: Path) -> Path:
    """Write all CSVs of the baselines and every run, both cards, one history and one cost."""
    both = tuple(TEST_IMAGES)
    baselines = [scores_of(config, name, both, 0.0) for name in ("sharp", "blurred")]
    write_per_image(pd.concat(baselines), folder / "per_image" / "baselines.csv")
    filters = [
        scores_of(config, name, both, lift)
        for name, lift in zip(CLASSICAL, (0.5, 6.0), strict=True)
    ]
    write_per_image(pd.concat(filters), folder / "per_image" / "classical.csv")
    for number, name in enumerate(config.runs):
        scores = scores_of(config, name, evaluation_protocols(config, name), 1.0 + 0.1 * number)
        write_per_image(scores, folder / "per_image" / f"{name}.csv")
    (folder / "priors").mkdir()
    card = {"network": "surrogate", "auc": {"before": 0.8, "after": 0.9}}
    (folder / "priors" / "card.json").write_text(json.dumps(card))
    (folder / "history").mkdir()
    history = "step,lr,pixel,validation_gain,discriminator_auc\n"
    history += "2,0.0001,0.11,0.5,0.5\n4,0.00005,0.1,0.75,0.6\n"
    (folder / "history" / "b1.csv").write_text(history)
    (folder / "cost").mkdir()
    (folder / "cost" / "b1.json").write_text('{"seconds": 12.34, "device": "cpu"}')
    write_recognition_artifacts(config, folder)
    return folder


def write_submission(config: Config, artifacts: Path, folder: Path, protocol: str = "a") -> Path:
    """Submit the blurred images of a protocol as ``mynet``."""
    scores = read_per_image(artifacts / "per_image" / "baselines.csv")
    rows = scores[(scores["method"] == "blurred") & (scores["test_set"] == TEST_IMAGES[protocol])]
    seen = read_recognition(artifacts / "recognition" / "baselines.csv")
    own = seen[(seen["method"] == "blurred") & (seen["test_set"] == TEST_IMAGES[protocol])]
    pairs, embedder = reference_hashes(artifacts / "references")
    means = rows.drop(columns=list(KEYS)).mean().to_dict()
    card = SubmissionCard(
        name="mynet", protocol=protocol, paper="MyNet, its own code", by="", images=len(rows),
        profile=config.profile, image_size=32, testset={}, restored="", prior="",
        pairs=pairs, embedder=embedder, blurred=means,
    )  # fmt: skip
    write_per_image(rows.assign(method="mynet"), folder / "mynet" / "per_image.csv")
    write_recognition([own.assign(method="mynet")], folder / "mynet" / "recognition.csv")
    write_text(folder / "mynet" / "card.json", json.dumps(card.model_dump()))
    return folder


def mean_of_images(
    artifacts: Path, method: str, test_set: str, mode: str, subset: str, name: str
) -> float:
    """Mean over images with plain Python, from the CSV that holds the method."""
    run = "baselines" if method in ("sharp", "blurred") else method
    wanted = {"method": method, "test_set": test_set, "mode": mode, "subset": subset}
    rows = read_rows(artifacts / "per_image" / f"{run}.csv")
    return statistics.fmean(float(row[name]) for row in rows if wanted.items() <= row.items())
