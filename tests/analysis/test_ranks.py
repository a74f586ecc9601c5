from __future__ import annotations

import csv
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from dfpg.analysis.paired_scores import PairedScores
from dfpg.analysis.ranks import letter_groups, order_records, rank_records, spearman
from dfpg.analysis.strata import make_stratum
from dfpg.paper.tables import BASELINES, CLASSICAL, TABLES, Cell, Column

CELL = Cell("table1", Column("shen", "helen"), "psnr")
ROWS = [row for row in TABLES[0].rows if row.run not in (None, *BASELINES, *CLASSICAL)]


def panel(levels, spread=1.0, people=40, seed=0) -> PairedScores:
    """Scores of Table 1's rows in order: ``levels`` plus noise, one image per person."""
    rng = np.random.default_rng(seed)
    values = np.asarray(levels, float) + spread * rng.normal(size=(people, len(levels)))
    stratum = make_stratum(values, [f"{n:03d}" for n in range(people)], 400, 0)
    return PairedScores(
        tuple(str(row.run) for row in ROWS[: len(levels)]), (stratum,), "psnr", people
    )


def by_row(records):
    return {record.row: record for record in records}


def test_clear_order_is_stable_and_every_method_is_alone(config):
    records = rank_records(config, {CELL: panel([0, 20, 10])})
    assert [record.rank for record in records] == [1, 2, 3]
    names = [ROWS[place].key for place in (1, 2, 0)]
    assert [record.row for record in records] == names
    assert {record.rank_share for record in records} == {1.0}
    assert [record.groups for record in records] == ["a", "b", "c"]


def test_lower_is_better_where_the_metric_says_so(config):
    records = rank_records(config, {CELL._replace(metric="lpips"): panel([0, 20, 10])})
    assert records[0].row == ROWS[0].key


def test_two_alike_share_rank_one_by_turns_and_a_letter(config):
    records = by_row(rank_records(config, {CELL: panel([5.0, 5.0, 0.0], seed=1)}))
    first, second, third = (records[row.key] for row in ROWS[:3])
    assert first.groups == second.groups == "a"
    assert third.groups == "b"
    shares = first.rank_share, second.rank_share
    assert shares[0] == pytest.approx(shares[1], abs=0.005)
    assert 0.5 < shares[0] < 0.99
    assert (first.rank_low, first.rank_high) == (1, 2)
    assert (third.rank_low, third.rank_high, third.rank_share) == (3, 3, 1.0)


def test_equal_methods_share_the_better_rank(config):
    same = panel([1.0, 1.0], spread=0.0)
    assert [record.rank for record in rank_records(config, {CELL: same})] == [1, 1]


def test_letters_by_hand():
    # 0 and 2 differ, 1 differs from neither: ab / b would lie, "a", "a b", "b" is right.
    assert letter_groups([(0, 2)], [0, 1, 2]) == ["a", "a b", "b"]
    assert letter_groups([], [2, 0, 1]) == ["a", "a", "a"]
    assert letter_groups([(0, 1), (0, 2), (1, 2)], [2, 0, 1]) == ["b", "c", "a"]


@pytest.mark.parametrize("seed", range(20))
def test_two_methods_share_a_letter_unless_told_apart(seed):
    rng = np.random.default_rng(seed)
    methods = range(8)
    apart = [pair for pair in combinations(methods, 2) if rng.random() < 0.4]
    letters = [set(text.split()) for text in letter_groups(apart, rng.permutation(8).tolist())]
    for pair in combinations(methods, 2):
        assert bool(letters[pair[0]] & letters[pair[1]]) == (pair not in apart)


def test_spearman_is_scipys():
    rng = np.random.default_rng(0)
    ours, paper = rng.normal(size=(50, 7)), rng.integers(0, 4, 7).astype(float)
    expected = [stats.spearmanr(row, paper).statistic for row in ours]
    np.testing.assert_allclose(spearman(ours, paper), expected, atol=1e-12)
    assert spearman(np.ones(7), paper) == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_order_of_the_paper_has_correlation_one_and_a_small_p(config, sign):
    figures = np.array([25.58, 20.25, 26.13, 27.75, 25.91, 21.64, 22.30, 27.70])  # Helen, PSNR
    (record,) = order_records(config, {CELL: panel(sign * figures, spread=0.01)})
    assert record.n_rows == 8
    assert (record.spearman, record.ci_low, record.ci_high) == pytest.approx((sign,) * 3)
    assert record.p < 0.001
    assert record.order_changes == 0


def test_p_is_the_share_of_all_orders_with_as_large_a_correlation(config):
    levels = np.array([25, 23, 24, 26, 21.0])
    (record,) = order_records(config, {CELL: panel(levels, spread=0.001)})
    figures = np.array([25.58, 20.25, 26.13, 27.75, 25.91])
    correlations = [stats.spearmanr(order, figures).statistic for order in permutations(levels)]
    extreme = np.abs(correlations) >= abs(stats.spearmanr(levels, figures).statistic) - 1e-9
    assert record.p == pytest.approx(extreme.mean())


def test_unstable_order_says_so(config):
    (record,) = order_records(config, {CELL: panel([0.0] * 8, people=20)})
    assert record.order_changes > 0.9
    assert record.ci_low < record.spearman < record.ci_high


def test_files_rank_what_the_tables_show(results):
    def read(name):
        return list(csv.DictReader((results / name).read_text().splitlines()))

    where = {"test_set": "mspl_center", "subset": "ffhq", "metric": "lpips"}
    shown = {
        row["row"]: float(row["value"])
        for row in read("table2.csv")
        if where.items() <= row.items() and row["row"] not in (*BASELINES, *CLASSICAL)
    }
    ranked = [
        row for row in read("ranks.csv") if ({"table": "table2"} | where).items() <= row.items()
    ]
    assert [row["row"] for row in ranked] == sorted(shown, key=lambda name: shown[name])
    assert {row["row"] for row in ranked} >= {"nafnet", "restormer", "dfpg_b"}
    (order,) = [
        row for row in read("order.csv") if ({"table": "table2"} | where).items() <= row.items()
    ]
    assert order["n_rows"] == "9"  # nafnet and restormer are not the paper's
    metrics = {row["metric"] for row in read("ranks.csv") if row["table"] == "table3"}
    assert metrics == {"detection_pct", "detection_scrfd_pct", "verification_strict_acc_pct"}
