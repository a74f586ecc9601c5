from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from helpers.toy_scores import IMAGES, PEOPLE, write_recognition_artifacts
from scipy import stats
from sklearn.model_selection import KFold

from dfpg.analysis.observations import load_observations
from dfpg.analysis.recognition import estimate_table3
from dfpg.analysis.verification import (
    ALIGNMENTS,
    VerificationPairs,
    accuracy,
    distance_histogram,
    roc_points,
    verification_measures,
    verification_pairs,
)
from dfpg.evaluation.per_image import KEYS, RECOGNITION_COLUMNS, write_recognition
from dfpg.evaluation.recognition.pairs import Pair, deal_folds, groups_of, write_pairs
from dfpg.metrics.verification import fold_thresholds


def observed(config, folder, rows: pd.DataFrame, pairs: list[Pair]):
    """Observations of ``sharp`` and ``blurred`` with the same rows."""
    frames = [rows.assign(method=method) for method in ("sharp", "blurred")]
    write_recognition(frames, folder / "recognition" / "baselines.csv")
    write_pairs(pairs, folder / "references" / "pairs.csv")
    return load_observations(config, folder)


def rows_with(people: list[str], positive, negative) -> pd.DataFrame:
    """Rows with the distances given, the same for both alignments; NaN is not found."""
    lost = np.isnan(positive)
    rows = pd.DataFrame(
        {
            "test_set": "shen",
            "image": np.arange(len(people)),
            "mode": "center",
            "subset": "celeba",
            "person": people,
            "face": "f.jpg",
            "kernel": np.arange(len(people)),
            "size": 13,
        }
    )
    for name in RECOGNITION_COLUMNS:
        rows[name] = np.where(lost, np.nan, 1.0)
    for points in ("detected", "sharp"):
        rows[f"{points}_positive"], rows[f"{points}_negative"] = positive, negative
    return rows.assign(scrfd_faces=np.where(lost, 0, 1))


def own_pairs(people: int) -> list[Pair]:
    return [Pair(f"p{i:03d}", "", "", f"other {i}") for i in range(people)]


def authors_by_hand(path, method: str) -> float:
    """The authors' protocol from the CSV: lost ones dropped, positives first, KFold in order."""
    rows = [
        row for row in csv.DictReader(path.read_text().splitlines())
        if row["method"] == method and row["scrfd_faces"] == "1"
    ]  # fmt: skip
    rows.sort(key=lambda row: int(row["image"]))
    distances = np.array(
        [float(row["detected_positive"]) for row in rows]
        + [float(row["detected_negative"]) for row in rows]
    )
    same = np.array([True] * len(rows) + [False] * len(rows))
    thresholds = np.arange(0, 4, 1e-4)
    accuracies = []
    for train, test in KFold(10, shuffle=False).split(distances):
        hits = ((distances[train] < thresholds[:, None]) == same[train]).sum(axis=1)
        accuracies.append(np.mean((distances[test] < thresholds[hits.argmax()]) == same[test]))
    return 100 * float(np.mean(accuracies))


def test_lab_equals_the_protocol_from_the_csv(config, tmp_path):
    write_recognition_artifacts(config, tmp_path)
    found = estimate_table3(config, load_observations(config, tmp_path))
    assert found is not None
    for method, name in (("sharp", "baselines"), ("blurred", "baselines"), ("dfpg_a", "dfpg_a")):
        expected = authors_by_hand(tmp_path / "recognition" / f"{name}.csv", method)
        assert found.values[method, "authors_detected"].mean == pytest.approx(expected, abs=1e-9)
    assert (found.images, found.people) == (IMAGES, PEOPLE)


@pytest.mark.parametrize("images", [60, 61, 96])
def test_an_accuracy_without_errors_has_a_narrow_interval(config, tmp_path, images):
    """Also where the folds differ by a pair, so that their mean weighs the pairs unequally."""
    names = [f"p{i % 30:03d}" for i in range(images)]
    rows = rows_with(names, np.full(images, 0.5), np.full(images, 2.0))
    observations = observed(config, tmp_path, rows, own_pairs(30))
    pairs = verification_pairs(observations, "sharp", "authors", "detected")
    found = accuracy(config, pairs, "authors")
    assert (found.mean, found.high) == (1, 1)
    assert 0.85 < found.low < 1


def test_detection_that_hangs_on_the_kernel_is_known_no_better_than_there_are_kernels(
    config, tmp_path
):
    """Faces and kernels are crossed; 7 of 10 kernels leave a face that is found."""
    people, kernels = 20, 10
    names = [f"p{i:03d}" for i in range(people) for _ in range(kernels)]
    kernel = np.tile(np.arange(kernels), people)
    rows = rows_with(names, np.full(len(names), 0.5), np.full(len(names), 2.0))
    rows = rows.assign(kernel=kernel, dlib_hog_score=np.where(kernel < 7, 1.0, np.nan))
    found = estimate_table3(config, observed(config, tmp_path, rows, own_pairs(people)))
    assert found is not None
    rate = found.values["sharp", "dlib_hog"]
    assert rate.mean == 70
    exact = stats.binomtest(7, kernels).proportion_ci()
    assert rate.low < 100 * exact.low + 8
    assert rate.high > 100 * exact.high - 8


def test_lab_drops_what_strict_counts_as_an_error(config, tmp_path):
    people = [f"p{i % 20:03d}" for i in range(100)]
    positive, negative = np.full(100, 0.5), np.full(100, 2.0)
    positive[:25] = negative[:25] = np.nan
    observations = observed(config, tmp_path, rows_with(people, positive, negative), own_pairs(20))
    authors, strict = (
        verification_pairs(observations, "blurred", mode, "detected")
        for mode in ("authors", "strict")
    )
    assert (authors.images, authors.dropped, len(authors.same)) == (100, 25, 150)
    assert (strict.images, strict.dropped, len(strict.same)) == (100, 0, 200)
    assert accuracy(config, authors, "authors").mean == 1
    assert accuracy(config, strict, "strict").mean == 0.75
    assert verification_measures(config, strict, "strict")["tar_at_far_1pct"].mean == 75
    found = estimate_table3(config, observations)
    assert found is not None
    assert found.values["blurred", "dlib_hog"].mean == 75


def test_the_lab_drops_images_with_two_faces_unless_the_sharp_points_align(config, tmp_path):
    rows = rows_with([f"p{i:03d}" for i in range(20)], np.full(20, 0.5), np.full(20, 2.0))
    rows.loc[3, "scrfd_faces"] = 2
    observations = observed(config, tmp_path, rows, own_pairs(20))
    dropped = {
        (mode, points): verification_pairs(observations, "sharp", mode, points).dropped
        for mode in ("authors", "strict")
        for points in ("detected", "sharp")
    }
    assert [key for key, count in dropped.items() if count] == [("authors", "detected")]


def test_people_without_references_are_detected_and_not_verified(config, tmp_path):
    rows = rows_with([f"p{i:03d}" for i in range(20)], np.full(20, 0.5), np.full(20, 2.0))
    alone = [f"{points}_{kind}" for points in ALIGNMENTS for kind in ("positive", "negative")]
    rows.loc[15:, alone] = np.nan
    observations = observed(config, tmp_path, rows, own_pairs(15))
    assert verification_pairs(observations, "sharp", "strict", "sharp").images == 15
    found = estimate_table3(config, observations)
    assert found is not None
    assert found.images == 20
    rows[alone] = np.nan
    without = observed(config, tmp_path, rows, [])
    nothing = estimate_table3(config, without)
    assert nothing is not None
    assert np.isnan(nothing.values["sharp", "authors_detected"].mean)
    assert np.isnan(nothing.values["sharp", "strict_detected"].mean)
    assert nothing.values["sharp", "scrfd"].mean == 100
    pairs = verification_pairs(without, "sharp", "authors", "detected")
    assert all(
        np.isnan(bounds.mean) for bounds in verification_measures(config, pairs, "authors").values()
    )


def test_strict_takes_the_thresholds_of_the_sharp_images(config, tmp_path):
    """Blurred pairs are all farther apart than any sharp one."""
    people = [f"p{i % 20:03d}" for i in range(40)]
    sharp = rows_with(people, np.full(40, 0.5), np.full(40, 1.0)).assign(method="sharp")
    blurred = rows_with(people, np.full(40, 2.0), np.full(40, 3.0)).assign(method="blurred")
    write_recognition([sharp, blurred], tmp_path / "recognition" / "baselines.csv")
    write_pairs(own_pairs(20), tmp_path / "references" / "pairs.csv")
    observations = load_observations(config, tmp_path)
    accuracies = {
        (method, mode): accuracy(
            config, verification_pairs(observations, method, mode, "detected"), mode
        ).mean
        for method in ("sharp", "blurred")
        for mode in ("authors", "strict")
    }
    assert accuracies["sharp", "strict"] == accuracies["blurred", "authors"] == 1
    assert accuracies["blurred", "strict"] == 0.5
    pairs = verification_pairs(observations, "blurred", "strict", "detected")
    assert ((pairs.threshold > 0.5) & (pairs.threshold <= 1.0)).all()


def test_random_embeddings_are_at_chance(config):
    """Unit vectors that know nobody: strict accuracy is a half, and its interval says so."""
    rng = np.random.default_rng(0)
    people, images, trials = 40, 4, 100
    pairs = [Pair(f"p{i:03d}", "", "", f"p{i ^ 1:03d}") for i in range(people)]
    groups = groups_of(pairs)
    folds = deal_folds(groups, 10, 0)
    names = sorted(groups) * images
    group, fold = (np.array([table[name] for name in names] * 2) for table in (groups, folds))
    same = np.repeat([True, False], len(names))
    kernels = [str(image) for image in range(len(names))] * 2  # each image has its own
    means, covered = [], 0
    for _ in range(trials):
        vectors = rng.standard_normal((2, len(same), 128))
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        distances = ((vectors[0] - vectors[1]) ** 2).sum(axis=1)
        thresholds = fold_thresholds(distances, same, fold)
        drawn = VerificationPairs(distances, same, group, fold, kernels, thresholds, 160, 0)
        found = accuracy(config, drawn, "strict")
        means.append(found.mean)
        covered += found.low <= 0.5 <= found.high
    assert np.mean(means) == pytest.approx(0.5, abs=0.015)
    assert covered >= 0.9 * trials


def test_an_interval_counts_people_and_not_their_images(config, tmp_path):
    rng = np.random.default_rng(1)
    positive, negative = rng.normal(1.0, 0.4, 30).clip(0.1), rng.normal(1.6, 0.4, 30).clip(0.1)
    widths = []
    for copies in (1, 8):
        names = [f"p{i:03d}" for i in range(30)] * copies
        rows = rows_with(names, np.tile(positive, copies), np.tile(negative, copies))
        observations = observed(config, tmp_path / str(copies), rows, own_pairs(30))
        pairs = verification_pairs(observations, "sharp", "strict", "detected")
        found = verification_measures(config, pairs, "strict")
        widths.append([bounds.high - bounds.low for bounds in found.values()])
    np.testing.assert_allclose(widths[0], widths[1], rtol=0.1)


def test_curve_and_histogram_keep_the_counts():
    rng = np.random.default_rng(0)
    same = np.repeat([True, False], 500)
    distances = rng.uniform(0, 4, 1000)
    distances[:50] = np.nan
    zeros = np.zeros(1000, np.int64)
    pairs = VerificationPairs(distances, same, zeros, zeros, [""] * 1000, np.zeros(0), 500, 0)
    far, tar = roc_points(pairs)
    assert len(far) <= 100
    assert (far[0], tar[0], far[-1], tar[-1]) == (0, 0, 1, 1)
    assert (np.diff(far) >= 0).all()
    assert (np.diff(tar) >= 0).all()
    counts = distance_histogram(pairs)
    assert {name: (len(bins), int(bins.sum())) for name, bins in counts.items()} == {
        "positive": (40, 450),
        "negative": (40, 500),
    }


def test_a_profile_without_the_slot_has_no_table(config, tmp_path):
    write_recognition([pd.DataFrame(columns=[*KEYS, *RECOGNITION_COLUMNS])],
                      tmp_path / "recognition" / "baselines.csv")  # fmt: skip
    write_pairs([], tmp_path / "references" / "pairs.csv")
    assert estimate_table3(config, load_observations(config, tmp_path)) is None
