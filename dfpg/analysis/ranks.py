"""Order of the methods: how stable it is, who cannot be told apart, how near it is to the paper's.

Ranks are 1 for the best. Resamples draw people, the same ones for all methods of a column.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_lowercase

import numpy as np
from scipy.stats import ConstantInputWarning, pearsonr, permutation_test, rankdata

from dfpg.analysis.paired_scores import PairedScores
from dfpg.analysis.people_bootstrap import holm, paired_p
from dfpg.analysis.result_records import OrderRecord, RankRecord
from dfpg.analysis.strata import Array
from dfpg.core.config import Config
from dfpg.core.seeds import generator
from dfpg.paper.published import published_value
from dfpg.paper.rows import table_rows
from dfpg.paper.tables import BASELINES, CLASSICAL, TABLES, Cell

PERMUTATIONS = 10_000  # of the methods, for the p of a Spearman correlation; fewer: all of them


def rank_records(config: Config, paired_scores: Mapping[Cell, PairedScores]) -> list[RankRecord]:
    """One record per cell and method, best first.

    ``rank_share``: share of resamples with the method's rank; ``rank_low`` to ``rank_high``: the
    central ranks of the profile's level; ``groups``: methods that share a letter cannot be told
    apart by the paired test between all pairs of the cell, Holm-corrected.
    """
    tail = (1 - config.statistics.level) / 2
    records = []
    for cell, paired, rows in _trained_rows(config, paired_scores):
        chosen = [paired.runs.index(run) for run in rows.values()]
        means = paired.means()[chosen]
        ranks = _ranks(cell.sign * means)
        drawn = _ranks(cell.sign * paired.resampled_means()[:, chosen])
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=0, method="closest_observation")
        order = [int(place) for place in np.argsort(ranks, kind="stable")]
        letters = letter_groups(_different_pairs(config, paired, list(rows.values())), order)
        names = list(rows)
        for place in order:
            records.append(
                RankRecord(
                    table=cell.table,
                    test_set=cell.column.test_set,
                    subset=cell.column.subset,
                    metric=cell.metric,
                    convention=paired.convention,
                    row=names[place],
                    run=rows[names[place]],
                    value=means[place],
                    rank=int(ranks[place]),
                    rank_share=(drawn[:, place] == ranks[place]).mean(),
                    rank_low=int(low[place]),
                    rank_high=int(high[place]),
                    groups=letters[place],
                    n_people=paired.people,
                    profile=config.profile,
                )
            )
    return records


def order_records(config: Config, paired_scores: Mapping[Cell, PairedScores]) -> list[OrderRecord]:
    """One record per cell with at least three methods that the paper prints, too.

    Spearman correlation of our order with the printed one. Its interval is that of other people
    with the same methods (percentiles over resamples); its p is that of methods in random order.
    ``order_changes``: share of resamples whose order of these methods is another.
    """
    tail = (1 - config.statistics.level) / 2
    records = []
    for cell, paired, rows in _trained_rows(config, paired_scores):
        published = {row: published_value(cell, row) for row in rows}
        kept = [row for row, value in published.items() if value is not None]
        if len(kept) < 3:
            continue
        chosen = [paired.runs.index(rows[row]) for row in kept]
        paper = np.array([published[row] for row in kept], dtype=np.float64)
        ours = paired.means()[chosen]
        resampled = paired.resampled_means()[:, chosen]
        rho = float(spearman(ours, paper))
        low, high = np.quantile(spearman(resampled, paper), [tail, 1 - tail]).tolist()
        changed = (_ranks(resampled) != _ranks(ours)).any(axis=1)
        records.append(
            OrderRecord(
                table=cell.table,
                test_set=cell.column.test_set,
                subset=cell.column.subset,
                metric=cell.metric,
                convention=paired.convention,
                n_rows=len(kept),
                spearman=rho,
                ci_low=low,
                ci_high=high,
                p=permutation_p(config, ours, paper),
                order_changes=changed.mean(),
                n_people=paired.people,
                profile=config.profile,
            )
        )
    return records


def spearman(ours: Array, paper: Array) -> Array:
    """Spearman correlation of each row of ``ours`` [..., M] with ``paper`` [M]; 0 if all tie."""
    ranks = rankdata(ours, axis=-1), np.broadcast_to(rankdata(paper), ours.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        correlation: Array = np.asarray(pearsonr(*ranks, axis=-1).statistic)
    return np.nan_to_num(correlation)


def permutation_p(config: Config, ours: Array, paper: Array) -> float:
    """Two-sided p of the correlation of two orders, both [M], by permuting the methods."""

    def statistic(permuted: Array, axis: int) -> Array:
        return np.abs(spearman(np.moveaxis(permuted, axis, -1), paper))

    found = permutation_test(
        (ours,),
        statistic,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        alternative="greater",
        rng=generator(config.seed, "order", len(ours)),
    )
    return float(found.pvalue)


def letter_groups(different: Sequence[tuple[int, int]], order: Sequence[int]) -> list[str]:
    """Compact letter display (Piepho 2004): two methods share a letter unless they differ.

    Args:
        different: pairs of methods that differ significantly.
        order: all methods 0 ... M - 1, best first; the best one's group is ``a``.

    Returns:
        Letters of each method, by its number.
    """
    groups = [frozenset(order)]
    for first, second in different:
        split = {
            part
            for group in groups
            for part in (
                (group - {first}, group - {second}) if {first, second} <= group else (group,)
            )
        }
        groups = [group for group in split if not any(group < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    names = [ascii_lowercase[number % 26] * (number // 26 + 1) for number in range(len(groups))]
    return [
        " ".join(name for name, group in zip(names, groups, strict=True) if method in group)
        for method in range(len(order))
    ]


def _different_pairs(
    config: Config, paired: PairedScores, runs: Sequence[str]
) -> list[tuple[int, int]]:
    pairs = [(one, two) for two in range(len(runs)) for one in range(two)]
    p = paired_p(paired.differences([(runs[one], runs[two]) for one, two in pairs]))
    return [
        pair
        for pair, adjusted in zip(pairs, holm(p).tolist(), strict=True)
        if adjusted < 1 - config.statistics.level
    ]


def _trained_rows(
    config: Config, paired_scores: Mapping[Cell, PairedScores]
) -> Iterator[tuple[Cell, PairedScores, dict[str, str]]]:
    """Cells with their panel and the trained rows that have scores: row -> run."""
    tables = {table.name: table for table in TABLES}
    for cell, paired in paired_scores.items():
        rows = {
            row.key: row.run
            for row in table_rows(tables[cell.table], config)
            if row.run in paired.runs and row.run not in (*BASELINES, *CLASSICAL)
        }
        if rows:
            yield cell, paired, rows


def _ranks(better: Array) -> Array:
    """Ranks along the last axis, 1 for the highest; equal scores share the better rank."""
    ranks: Array = rankdata(-better, method="min", axis=-1)
    return ranks
