"""Columns of the CSV files in ``results/``: one record type per file.

In every file ``test_set`` names a test set of the paper (``shen``, ``mspl_center``,
``mspl_random``), ``subset`` a subset of it or ``mean``, and ``n_people`` counts the people of the
images; beside a test of verification (``claim_tests.csv``, ``ranks.csv``) the groups of people that
share a negative pair, which are what is drawn. Intervals (``ci_low`` to ``ci_high``, and the like)
have the level of the profile.
"""

from __future__ import annotations

import math

from dfpg.analysis.records import (
    Count,
    Fixed1,
    Fixed2,
    Fixed3,
    Fixed5,
    PValue,
    Record,
    Shortest,
)


class TableRecord(Record):
    """``table1.csv`` ... ``table4.csv``: one row, column group and metric of a table."""

    row: str  # key of the row, as in the paper's tables
    run: str  # run, baseline or submission that fills it; empty where nothing can
    test_set: str
    subset: str
    metric: str  # psnr (dB) | ssim | d_vgg | lpips | *_pct (percent)
    convention: str  # per-image column that the metric stands for
    value: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    n_images: Count
    n_people: Count
    published: str  # the paper's figure, with its decimals
    deviation: Fixed5  # value minus published
    verdict: str  # of dfpg.analysis.comparability
    reason: str  # for the verdict, or why there is no value
    fidelity: str
    note: str
    source: str  # face sources that fill the column
    prior: str  # prior network behind the row or the metric
    train_images: Count
    profile: str
    floor: str = ""  # above | not above: whether it beats the fixed filter, see dfpg.analysis.floor


class DeviationRecord(Record):
    """``deviations.csv``: one figure of the paper beside the value made here."""

    table: str
    row: str
    test_set: str
    subset: str
    metric: str
    published: str
    value: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    deviation: Fixed5
    verdict: str
    reason: str
    erratum: str  # what is doubtful about the published figure


class GainRecord(Record):
    """``gains.csv``: paired gain of a row over ``blurred``, positive where it is better."""

    table: str
    row: str
    run: str
    test_set: str
    subset: str
    metric: str
    convention: str
    gain: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    verdict: str  # better | worse | undecided
    p: PValue
    p_holm: PValue  # family: one column and metric
    n_images: Count
    n_people: Count


class ClaimTestRecord(Record):
    """``claim_tests.csv``: one comparison of a claim; its effect is positive where it holds."""

    claim: str
    table: str
    test_set: str
    subset: str
    against: str  # where a change starts; empty where values are compared
    metric: str
    convention: str
    better: str  # row that the claim says is better
    worse: str
    margin: Shortest
    outcome: str  # holds | reversed | too small | open | not tested | not measured
    reason: str
    effect: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    t: Fixed3
    df: Count
    p: PValue
    p_holm: PValue  # family: the claim
    n_images: Count
    n_people: Count
    printed_effect: Fixed5  # in the paper's own figures
    profile: str
    n_seeds: Count = None  # trainings that the effect is the mean of
    seed_sd: Fixed5 = math.nan  # standard deviation of the seeds' effects
    smallest: Shortest = math.nan  # effect that matters, see dfpg.paper.margins


class ClaimRecord(Record):
    """``claims.csv``: one claim, its verdict, and the test of its weakest comparison."""

    claim: str
    where: str
    meaning: str
    verdict: str  # of dfpg.analysis.verdicts
    reason: str
    n_comparisons: Count
    n_hold: Count
    n_reversed: Count
    n_open: Count
    n_not_measured: Count
    n_printed: Count  # comparisons that the paper prints figures for
    n_printed_hold: Count
    caution: str  # what the test does not see
    data: str  # how the data differ from the paper's
    weakest_table: str = ""
    weakest_test_set: str = ""
    weakest_subset: str = ""
    weakest_against: str = ""
    weakest_metric: str = ""
    weakest_convention: str = ""
    weakest_better: str = ""
    weakest_worse: str = ""
    weakest_margin: Shortest = math.nan
    effect: Fixed5 = math.nan
    ci_low: Fixed5 = math.nan
    ci_high: Fixed5 = math.nan
    t: Fixed3 = math.nan
    df: Count = None
    p: PValue = math.nan
    p_holm: PValue = math.nan
    n_images: Count = None
    n_people: Count = None
    profile: str
    n_small: Count = None  # comparisons within the margin
    n_not_tested: Count = None  # a row under the floor, or rows trained on unequal images
    readings: str = ""  # how it fares under other readings, of readings.csv


class RankRecord(Record):
    """``ranks.csv``: rank of one trained row in a column and metric, 1 for the best."""

    table: str
    test_set: str
    subset: str
    metric: str
    convention: str
    row: str
    run: str
    value: Fixed5
    rank: Count
    rank_share: Fixed3  # of the resamples with this rank
    rank_low: Count
    rank_high: Count
    groups: str  # letters; rows that share one do not differ significantly
    n_people: Count
    profile: str


class OrderRecord(Record):
    """``order.csv``: Spearman correlation of the order of the rows with the paper's."""

    table: str
    test_set: str
    subset: str
    metric: str
    convention: str
    n_rows: Count
    spearman: Fixed3
    ci_low: Fixed3
    ci_high: Fixed3
    p: PValue
    order_changes: Fixed3  # share of the resamples with another order
    n_people: Count
    profile: str


class TrainingRecord(Record):
    """``training.csv``: what one run was given and took."""

    run: str
    method: str
    protocol: str  # a | b
    steps: Count
    images: Count
    seconds: Fixed1
    lr: Shortest
    validation_gain: Shortest  # dB over blurred, of the last validation
    validation_gain_se: Shortest  # its standard error over people
    validation_unblurred_psnr: Shortest  # dB: what a sharp face keeps
    profile: str


class VerificationRecord(Record):
    """``verification.csv``: one measure of a row, in one mode and alignment."""

    row: str
    run: str
    mode: str
    alignment: str
    measure: str
    value: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    n_images: Count
    n_dropped: Count
    n_pairs: Count
    n_people: Count
    profile: str


class RocRecord(Record):
    """``roc.csv``: one point of a row's ROC, 0 to 1."""

    row: str
    alignment: str
    far: Fixed5
    tar: Fixed5


class HistogramRecord(Record):
    """``verification_histogram.csv``: number of pairs in one bin of squared distance."""

    row: str
    kind: str  # positive | negative
    distance: Fixed2  # middle of the bin
    count: Count


class RobustnessRecord(Record):
    """``robustness.csv``: one run on faces moved by one amount; see dfpg.analysis.robustness."""

    test_set: str
    run: str
    transformation: str
    amount: Shortest
    unit: str
    metric: str
    convention: str
    value: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    gain: Fixed5
    gain_low: Fixed5
    gain_high: Fixed5
    change: Fixed5
    change_low: Fixed5
    change_high: Fixed5
    mirrored_pct: Fixed2
    n_images: Count
    n_people: Count
    method: str
    trained_on: str
    weights: str
    device: str
    seed: Count
    profile: str


class KernelSizeRecord(Record):
    """``kernel_sizes.csv``: mean PSNR of a run on the images of one nominal kernel size."""

    test_set: str
    run: str
    size: Count  # px at 128 px
    psnr: Fixed5  # dB
    ci_low: Fixed5
    ci_high: Fixed5
    n_images: Count
    n_people: Count


class SeedRecord(Record):
    """``seeds.csv``: mean over training seeds, its interval over people and seeds."""

    table: str
    row: str
    run: str
    test_set: str
    subset: str
    metric: str
    convention: str
    value: Fixed5
    ci_low: Fixed5
    ci_high: Fixed5
    seed_sd: Fixed5  # standard deviation of the seeds' means
    gain: Fixed5  # over ``gain_over``, positive where the run is better
    gain_low: Fixed5
    gain_high: Fixed5
    gain_over: str
    n_images: Count
    n_people: Count
    n_seeds: Count
    seeds: str
    test_images: str  # same | different, between the seeds
    profile: str
