"""The embedder's card: what the network that verifies people knows of people it never met."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from dfpg.core.config import Config
from dfpg.core.files import sha256, write_text
from dfpg.core.progress import Progress
from dfpg.core.seeds import generator
from dfpg.data.faces.dataset import FaceSet
from dfpg.evaluation.recognition.lfw import list_pairs, read_middle
from dfpg.metrics.auc import CHUNK, Pairs, auc_intervals, draw_pairs, pair_weights
from dfpg.metrics.verification import FOLDS, authors_folds, cross_validate

if TYPE_CHECKING:
    from dfpg.pretrained.detector import FaceDetector

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]
Embed = Callable[[Picture, Points], NDArray[np.float32]]
Floats = NDArray[np.float64]

NOT_FOUND = 5.0  # squared distance of a face that is not found: beyond the greatest, 4
LEAST_PEOPLE = 4  # two folds of two people


def write_card(
    config: Config,
    path: Path,
    embedder: Embed,
    detector: FaceDetector,
    source: str | None,
    faces: FaceSet | None,
    out: Path,
) -> None:
    """Write the card as JSON.

    Args:
        config: ``seed``, ``statistics`` and ``recognition``.
        path: the network's ONNX file.
        embedder: the network itself.
        detector: SCRFD, for LFW.
        source: name of the source of ``faces``.
        faces: sharp pictures of people that no run is trained on. That part is null without them,
            or where fewer than four people have two pictures.
        out: the file.

    Raises:
        UserError: ``recognition.lfw`` names a folder without the whole of LFW.
    """
    card = {
        "embedder": config.recognition.embedder or "mobilefacenet (pinned asset)",
        "sha256": sha256(path),
        "level": config.statistics.level,
        "held_out": None,
        "lfw": None,
    }
    if faces is not None and len(people_with_pairs(faces.people)) >= LEAST_PEOPLE:
        card["held_out"] = {"source": source, **_measure_held_out(config, embedder, faces)}
    if config.recognition.lfw is not None:
        card["lfw"] = _lfw(config, embedder, detector, Path(config.recognition.lfw))
    write_text(out, json.dumps(card, indent=2) + "\n")


def people_with_pairs(people: Sequence[str]) -> list[str]:
    """People with two pictures or more, sorted."""
    return sorted(name for name, count in Counter(people).items() if count > 1)


def fold_pairs(people: Sequence[str], seed: int) -> tuple[Pairs, NDArray[np.int64]]:
    """Pairs for people-disjoint folds, and the fold of each pair.

    The people with two pictures or more (four at least) are dealt to ten folds, fewer where they
    are fewer than twenty; :func:`dfpg.metrics.auc.draw_pairs` draws within each fold.
    """
    names, person = np.unique(np.asarray(people), return_inverse=True)
    several = np.searchsorted(names, people_with_pairs(people))
    dealt = generator(seed, "verification", "card").permutation(several)
    folds = min(FOLDS, len(several) // 2)
    parts = []
    for fold in range(folds):
        rows = np.flatnonzero(np.isin(person, dealt[fold::folds]))
        pairs = draw_pairs([people[row] for row in rows.tolist()], seed)
        first, second = rows[pairs.first], rows[pairs.second]
        parts.append((first, second, np.full(len(first), fold)))
    first, second, fold_of = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Pairs(first, second, person[first], person[second], len(names)), fold_of


def accuracy_interval(
    right: NDArray[np.bool_], pairs: Pairs, seed: int, resamples: int, level: float
) -> dict[str, float]:
    """Share of pairs classified correctly, with the bootstrap's percentile interval over people."""
    stream = generator(seed, "verification bootstrap")
    samples = []
    for start in range(0, resamples, CHUNK):
        draws = stream.multinomial(
            pairs.n_people,
            np.full(pairs.n_people, 1 / pairs.n_people),
            min(CHUNK, resamples - start),
        )
        weights = pair_weights(pairs, draws)
        samples.append(weights @ right / weights.sum(axis=1))
    low, high = np.quantile(np.concatenate(samples), [(1 - level) / 2, (1 + level) / 2]).tolist()
    return _round_bounds(float(right.mean()), low, high)


def _measure_held_out(config: Config, embedder: Embed, faces: FaceSet) -> dict[str, Any]:
    """Figures on sharp pictures, aligned by the points that are stored with them."""
    pairs, folds = fold_pairs(faces.people, config.seed)
    used = np.unique(np.concatenate([pairs.first, pairs.second]))
    vectors: dict[int, NDArray[np.float32]] = {}
    with Progress("embedder's card", len(used), "picture") as progress:
        for row in used.tolist():
            vectors[row] = embedder(faces.pictures[row], faces.landmarks[row])
            progress.advance()
    distances = np.array(
        [
            _distance(vectors[one], vectors[two])
            for one, two in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
        ]
    )
    settings = config.statistics
    right = cross_validate(distances, pairs.same, folds)
    auc = auc_intervals(
        {"auc": -distances}, pairs, config.seed, settings.resamples, settings.level
    )["auc"]
    return {
        "alignment": "stored points",
        "n_people": len(np.unique(pairs.first_person)),
        "n_pairs": len(distances),
        "folds": int(folds.max()) + 1,
        "accuracy": accuracy_interval(
            right, pairs, config.seed, settings.resamples, settings.level
        ),
        "auc": _round_bounds(auc.value, auc.low, auc.high),
    }


def _lfw(config: Config, embedder: Embed, detector: FaceDetector, folder: Path) -> dict[str, Any]:
    """LFW's 6,000 pairs in its ten people-disjoint folds; a face that is not found is an error."""
    pairs = list_pairs(folder)
    distances = np.full(len(pairs), np.nan)
    with Progress("embedder on LFW", len(distances), "pair") as progress:
        for row, pair in enumerate(pairs):
            vectors = []
            for picture in map(read_middle, (pair.one, pair.two)):
                faces = detector(picture)
                if faces:
                    vectors.append(embedder(picture, faces[0].landmarks))
            if len(vectors) == 2:
                distances[row] = _distance(*vectors)
            progress.advance()
    same = np.array([pair.same for pair in pairs])
    folds = authors_folds(len(distances))  # LFW lists fold by fold, each half positive
    right = cross_validate(distances, same, folds)
    level = config.statistics.level
    worst = np.nan_to_num(distances, nan=NOT_FOUND)
    by_fold = [folds == fold for fold in range(FOLDS)]
    return {
        "alignment": "SCRFD",
        "n_pairs": len(distances),
        "not_found": int(np.isnan(distances).sum()),
        "interval": "t over the ten folds",
        "accuracy": _fold_interval(np.array([right[fold].mean() for fold in by_fold]), level),
        "auc": _fold_interval(
            np.array([roc_auc_score(same[fold], -worst[fold]) for fold in by_fold]), level
        ),
    }


def _fold_interval(values: Floats, level: float) -> dict[str, float]:
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return _round_bounds(
        float(values.mean()), float(values.mean() - half), float(values.mean() + half)
    )


def _distance(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    return float(((one.astype(np.float64) - two.astype(np.float64)) ** 2).sum())


def _round_bounds(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": round(value, 6), "low": round(low, 6), "high": round(high, 6)}
