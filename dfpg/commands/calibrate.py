"""Is protocol B's blur as hard as the paper's? Published weights on our test set tell.

The row "Zhang" of Table 2 is the released GoPro model of DMPHN (Zhang et al. 2019), which nobody
trained again: on images like the paper's it must score what the paper prints.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from dfpg.analysis.comparability import differences_from_paper, slot_labels
from dfpg.core.config import NOMINAL_SIZES, Config, ProtocolName
from dfpg.core.device import select_device
from dfpg.core.errors import UserError
from dfpg.core.paths import TESTSETS
from dfpg.core.seeds import generator
from dfpg.data.testsets import TestSet, open_testset
from dfpg.evaluation.per_image import read_per_image
from dfpg.evaluation.restore import restore_in_precision
from dfpg.evaluation.score import score_testsets
from dfpg.methods.official import load_published
from dfpg.methods.registry import build_method
from dfpg.metrics.common import Metric
from dfpg.metrics.psnr import Psnr
from dfpg.metrics.ssim import SSIM_MATLAB_RGB
from dfpg.paper.published import PublishedKey, published_values
from dfpg.paper.tables import DECIMALS, TEST_SETS, Column

RUN, ROW, TABLE = "zhang2019_generic", "zhang2019", "table2"
PROTOCOL: ProtocolName = "b"
METRICS: dict[str, Metric] = {"psnr": Psnr(), "ssim": SSIM_MATLAB_RGB}  # as Table 2 has them
# How far a value may be from the printed one: about two standard errors of 96 images.
TOLERANCE = {"psnr": 0.5, "ssim": 0.02}


def calibrate(config: Config, weights: Path, count: int, testsets: Path = TESTSETS) -> str:
    """Restore a part of protocol B's test set and compare with the printed row.

    Args:
        config: names the slots, and the width of DMPHN.
        weights: folder of the six published files.
        count: images per column (subset and mode), as many of every nominal size; all if there are
            fewer.
        testsets: folder of the test sets.

    Returns:
        Our mean, its standard error and the printed value, one line per column and metric.

    Raises:
        UserError: the weights are missing or of another network, or there is no test set.
    """
    if RUN not in config.runs:
        raise UserError(
            f"profile {config.profile} has no run {RUN}: use embedded, research or paper"
        )
    method = build_method(config, RUN, prior=None)
    digest = load_published(method, weights)
    device = select_device()
    method.to(device)
    testset = open_testset(testsets / PROTOCOL)
    chosen = choose(config, testset.index, count)
    with tempfile.TemporaryDirectory(prefix="dfpg.") as folder:
        path = Path(folder) / "scores.csv"
        shown = TestSet(testset.sharp, testset.blurred, chosen)
        metrics = {metric.name: metric for metric in METRICS.values()}
        restore = restore_in_precision(method, device, "fp32")
        score_testsets(config, RUN, restore, {PROTOCOL: shown}, metrics, path, str(device))
        scores = read_per_image(path)
    lines = [
        f"DMPHN, published weights {weights} (SHA-256 {digest}),",
        f"on protocol B's test set, beside the row {ROW!r} of Table 2",
        f"{'column':<24}{'metric':<8}{'images':>7}{'people':>8}{'here':>9}{'error':>8}"
        f"{'printed':>9}{'difference':>12}",
    ]
    hindered: set[str] = set()
    for column in (Column(*key) for key in _columns(config)):
        mode = TEST_SETS[column.test_set].mode
        part = scores[(scores["mode"] == mode) & (scores["subset"] == column.subset)]
        for name, metric in METRICS.items():
            lines.append(_line(part, column, name, metric.name))
        hindered.update(differences_from_paper(config, column, "psnr"))
    lines += [f"slot {slot}" for column in _slots(config) for slot in slot_labels(config, column)]
    lines += [f"not comparable: {reason}" for reason in sorted(hindered)]
    return "\n".join(lines)


def choose(config: Config, index: pd.DataFrame, count: int) -> pd.DataFrame:
    """Rows of a test set's index: ``count`` of every subset and mode, spread over the sizes.

    Raises:
        UserError: less than one image per nominal size is asked for.
    """
    each = count // len(NOMINAL_SIZES)
    if not each:
        raise UserError(f"--images {count}: give at least one per size, {len(NOMINAL_SIZES)}")
    rows = []
    for cell, group in index.groupby(["subset", "mode", "size"]):
        stream = generator(config.seed, "calibrate", *map(str, cell))
        rows.append(group.iloc[stream.permutation(len(group))[:each]])
    return pd.concat(rows).sort_values("image", ignore_index=True)


def standard_error(scores: pd.DataFrame, column: str) -> float:
    """Standard error of a mean over images that share people and kernels.

    The variances of the means clustered by people and by kernels are added, and that of
    independent images, which both contain, is taken away once (Cameron, Gelbach and Miller 2011);
    never less than what either clustering gives alone.

    Args:
        scores: one row per image, with person, kernel and size.
        column: whose mean.
    """
    deviations = scores[column] - scores[column].mean()
    clusters = ([scores["person"]], [scores["size"], scores["kernel"]], [scores.index])
    people, kernels, images = (
        float(np.square(deviations.groupby(keys).sum()).sum()) for keys in clusters
    )
    return float(np.sqrt(max(people + kernels - images, people, kernels)) / len(scores))


def _columns(config: Config) -> list[tuple[str, str]]:
    test = config.protocols[PROTOCOL].test
    return [
        (name, subset)
        for name, (protocol, mode, _) in TEST_SETS.items()
        if protocol == PROTOCOL and mode in test.modes
        for subset in test.subsets
    ]


def _slots(config: Config) -> list[Column]:
    """One column of every slot."""
    return [
        Column(*key) for key in _columns(config)[: len(config.protocols[PROTOCOL].test.subsets)]
    ]


def _line(part: pd.DataFrame, column: Column, name: str, scored: str) -> str:
    decimals = DECIMALS[name]
    here = part[scored].mean()
    start = (
        f"{column.test_set.removeprefix('mspl_') + ' ' + column.subset:<24}{name:<8}"
        f"{len(part):>7}{part['person'].nunique():>8}{here:>9.{decimals}f}"
        f"{standard_error(part, scored):>8.{decimals}f}"
    )
    printed = published_values().get(PublishedKey(TABLE, ROW, *column, name))
    if printed is None:
        return start + f"{'-':>9}"
    difference = here - printed.value
    verdict = "within" if abs(difference) <= TOLERANCE[name] else "beyond"
    return start + f"{printed.text:>9}{difference:>+12.{decimals}f}  {verdict} {TOLERANCE[name]}"
