"""What the paper claims, as data: lists of paired comparisons that all have to hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dfpg.paper.margins import MARGINS
from dfpg.paper.mechanisms import Presupposition, presuppose
from dfpg.paper.published import published_value
from dfpg.paper.tables import BASELINES, TABLES, Cell, Column, Table


@dataclass(frozen=True)
class Comparison:
    """Row ``better`` is better than row ``worse`` in a cell, or less than ``margin`` worse.

    With ``against`` what is compared is the change from that column to the cell's.
    """

    cell: Cell
    better: str
    worse: str
    margin: float = 0.0  # in the metric's unit
    against: Column | None = None


@dataclass(frozen=True)
class Claim:
    """One claim of the paper.

    Attributes:
        key: its name here.
        where: section and table of the paper.
        meaning: what it says, in our words.
        comparisons: all have to hold; none: nothing here can test it.
        caution: what the test does not see.
        presupposes: run and mechanism (key of ``MECHANISMS``): comparisons of that run are judged
            on its trainings that show the mechanism.
        off_task: rows that the claim itself calls unfit for this task; the floor is not asked of
            them.
        differ: what else than the thing claimed differs between the networks compared; the verdict
            then speaks of consistency, not of a cause. Empty: nothing.
    """

    key: str
    where: str
    meaning: str
    comparisons: tuple[Comparison, ...]
    caution: str = ""
    presupposes: tuple[Presupposition, ...] = ()
    off_task: tuple[str, ...] = ()
    differ: str = ""


ROBUSTNESS = "robustness"  # "table" of the cells of dfpg.analysis.robustness; its rows are runs
_TABLES = {table.name: table for table in TABLES}
_CENTER, _RANDOM = "mspl_center", "mspl_random"


def _cells(table: Table, metrics: Iterable[str]) -> list[Cell]:
    return [Cell(table.name, column, metric) for column in table.columns for metric in metrics]


def competitors(cell: Cell, row: str) -> list[str]:
    """Other rows that the paper prints in a cell and that a run can fill."""
    return [
        other.key
        for other in _TABLES[cell.table].rows
        if other.key != row
        and other.key not in BASELINES
        and other.run is not None
        and published_value(cell, other.key) is not None
    ]


def _rank_first(cells: Sequence[Cell], row: str) -> tuple[Comparison, ...]:
    return tuple(Comparison(cell, row, other) for cell in cells for other in competitors(cell, row))


def _rank_second(cells: Sequence[Cell], row: str, winner: str) -> tuple[Comparison, ...]:
    return tuple(
        Comparison(cell, winner, row) if other == winner else Comparison(cell, row, other)
        for cell in cells
        for other in competitors(cell, row)
    )


def _pairs(
    cells: Sequence[Cell], pairs: Iterable[tuple[str, str]], against: Column | None = None
) -> tuple[Comparison, ...]:
    chosen = tuple(pairs)
    return tuple(
        Comparison(cell, better, worse, against=against)
        for cell in cells
        for better, worse in chosen
    )


def _misalignment() -> tuple[Comparison, ...]:
    """Change from centred to moved faces, DFPG-B's against that of each rival.

    d_VGG is left out: its levels differ several times over, so its changes are no like quantities.
    """
    return tuple(
        comparison
        for column in _TABLES["table2"].columns
        if column.test_set == _RANDOM
        for comparison in _pairs(
            [Cell("table2", column, metric) for metric in ("psnr", "ssim", "lpips")],
            [("dfpg_b", row) for row in ("shen2018", "yasarla2020", "yasarla2020_retrained")],
            Column(_CENTER, column.subset),
        )
    )


def _moved_faces() -> tuple[Comparison, ...]:
    """Mean change over the amounts of each transformation, DFPGnet's against geometric priors'.

    Pairs were trained on the same views: centred ones on protocol A, turned ones on protocol B.
    """
    pairs = [("shen", "dfpg_a", "shen2018"), ("shen", "dfpg_a", "yasarla2020")]
    pairs.append((_CENTER, "dfpg_b", "yasarla2020_b"))
    return tuple(
        Comparison(
            Cell(ROBUSTNESS, Column(test_set, transformation), metric),
            better,
            worse,
            against=Column(test_set, "identity"),
        )
        for test_set, better, worse in pairs
        for transformation in ("shift", "rotation", "scale")
        for metric in ("psnr", "ssim")
    )


_T1, _T2, _T3, _T4 = (_TABLES[f"table{number}"] for number in range(1, 5))
_ALL = ("psnr", "ssim", "d_vgg", "lpips")
_PIXELS = ("psnr", "ssim")  # what Table 4 prints
_BLIND = ("li2020", "wang2021")
_ON_MOTION_BLUR = ("shen2018", "xia2019", "yasarla2020", "lee2020", "dfpg_a")
_SHEN_CELEBA = _T3.columns[0]
# What the paper's explanation of DFPGnet's results, and of those of the others, rests on.
_PRIOR = ("prior-predicted", "prior-transforms")
_FULL = (*_PRIOR, "discriminator", "channel-attention", "loss-balance")
_OF_DFPG_A, _OF_DFPG_B = presuppose("dfpg_a", *_FULL), presuppose("dfpg_b", *_FULL)
_SEMANTIC_A = presuppose("shen2018", "parsing") + presuppose("yasarla2020", "parsing")
_OTHERS_A = _SEMANTIC_A + presuppose("xia2019", "kernels")
_SEMANTIC_B = presuppose("yasarla2020_b", "parsing")

CLAIMS = (
    Claim(
        "first-shen",
        "4.3, Table 1",
        "DFPG-A is the best in SSIM and d_VGG",
        _rank_first(_cells(_T1, ("ssim", "d_vgg")), "dfpg_a"),
        presupposes=_OF_DFPG_A + _OTHERS_A,
    ),
    Claim(
        "second-shen",
        "4.3, Table 1",
        "DFPG-A is second in PSNR, behind Yasarla, and second in LPIPS, behind Lee",
        _rank_second(_cells(_T1, ("psnr",)), "dfpg_a", "yasarla2020")
        + _rank_second(_cells(_T1, ("lpips",)), "dfpg_a", "lee2020"),
        presupposes=_OF_DFPG_A + _OTHERS_A,
    ),
    Claim(
        "first-mspl",
        "4.3, Table 2",
        "DFPG-B is the best in all 24 columns",
        _rank_first(_cells(_T2, _ALL), "dfpg_b"),
        presupposes=_OF_DFPG_B + _SEMANTIC_B,
    ),
    Claim(
        "retraining",
        "4.3, Table 2",
        "retraining on MSPL makes Zhang's and Yasarla's networks better",
        _pairs(
            _cells(_T2, _ALL),
            [("zhang2019_retrained", "zhang2019"), ("yasarla2020_retrained", "yasarla2020")],
        ),
        "before: trained on pictures without faces (Zhang), on protocol A (Yasarla)",
        presupposes=_SEMANTIC_B,
        off_task=("zhang2019", "yasarla2020"),
    ),
    Claim(
        "facial-prior",
        "4.3, Table 2",
        "trained on the same data, methods with a facial prior (Yasarla, Lee, DFPG-B) beat the "
        "generic one (Zhang)",
        _pairs(
            _cells(_T2, _ALL),
            [
                (row, "zhang2019_retrained")
                for row in ("yasarla2020_retrained", "lee2020", "dfpg_b")
            ],
        ),
        presupposes=presuppose("dfpg_b", *_PRIOR) + _SEMANTIC_B,
        differ="the networks differ in more than the prior",
    ),
    Claim(
        "blind-restorers",
        "2 and 4.3, Table 1",
        "blind restorers (Li, Wang) are worse than methods trained on the test set's kind of "
        "motion blur in PSNR, SSIM and d_VGG",
        _pairs(
            _cells(_T1, ("psnr", "ssim", "d_vgg")),
            [(row, blind) for row in _ON_MOTION_BLUR for blind in _BLIND],
        ),
        "both restorers are approximations, unless they run on official weights; Wang's training "
        "has no motion blur, Li's in a third of the pictures, of 3 to 9 px at 128 px",
        presupposes=presuppose("li2020", "own-degradation")
        + presuppose("wang2021", "own-degradation"),
        off_task=_BLIND,
    ),
    Claim(
        "misalignment",
        "4.3, Table 2",
        "from centred to moved and rotated faces DFPG-B loses less than the methods with a "
        "geometric prior (Shen, Yasarla)",
        _misalignment(),
        "the test set's random moves, no curve over their size; Shen's and Yasarla's own runs "
        "were trained on centred faces",
        presupposes=presuppose("dfpg_b", *_PRIOR) + _SEMANTIC_A + _SEMANTIC_B,
        differ="the networks differ in more than the prior",
    ),
    Claim(
        "misalignment-curve",
        "4.3, Fig. 7",
        "faces shifted, turned or scaled by known amounts: DFPGnet loses less than a geometric "
        "prior (Shen, Yasarla) trained on the same views, on average over the amounts",
        _moved_faces(),
        "the amounts are ours, the paper states none; few people",
        presupposes=presuppose("dfpg_a", *_PRIOR)
        + presuppose("dfpg_b", *_PRIOR)
        + _SEMANTIC_A
        + _SEMANTIC_B,
        differ="the networks differ in more than the prior",
    ),
    Claim(
        "detection-gain",
        "4.3, Table 3",
        "more faces are found in DFPG-A's images than in the blurred ones",
        _pairs([Cell("table3", _SHEN_CELEBA, "detection_pct")], [("dfpg_a", "blurred")]),
        presupposes=_OF_DFPG_A,
    ),
    Claim(
        "verification-gain",
        "4.3, Table 3",
        "DFPG-A's images are verified more accurately than the blurred ones",
        _pairs(
            [Cell("table3", _SHEN_CELEBA, "verification_strict_acc_pct")], [("dfpg_a", "blurred")]
        ),
        "tested in the strict mode, which keeps every image",
        presupposes=_OF_DFPG_A,
    ),
    Claim(
        "verification-first",
        "4.3, Table 3",
        "DFPG-A's images are verified more accurately than every other method's",
        _rank_first([Cell("table3", _SHEN_CELEBA, "verification_strict_acc_pct")], "dfpg_a"),
        "tested in the strict mode, which keeps every image",
        presupposes=_OF_DFPG_A,
    ),
    Claim(
        "ablation-order",
        "4.4, Table 4",
        "each part adds to the one before: B6 > B5 > B4 > B3 in PSNR and SSIM",
        _pairs(_cells(_T4, _PIXELS), [("b6", "b5"), ("b5", "b4"), ("b4", "b3")]),
        presupposes=presuppose("b4", *_PRIOR)
        + presuppose("b5", *_PRIOR, "discriminator")
        + _OF_DFPG_B,
    ),
    Claim(
        "prior-interferes",
        "4.4, Table 4",
        "without feature transform the deep features do harm: B3 is worse than B1",
        _pairs(_cells(_T4, _PIXELS), [("b1", "b3")]),
        presupposes=presuppose("b3", "prior-predicted"),
    ),
    Claim(
        "prior-helps",
        "1 and 4.4, Table 4",
        "the full network is better than the same without a prior, with perceptual loss or not: "
        "B6 > B1 and B6 > B2",
        _pairs(_cells(_T4, _PIXELS), [("b6", "b1"), ("b6", "b2")]),
        "B6 has more parameters",
        presupposes=_OF_DFPG_B,
    ),
    Claim(
        "perceptual-loss",
        "1 and 4.4, Table 4",
        "perceptual loss alone does not help: B2 gains less than a margin over B1",
        tuple(
            Comparison(cell, "b1", "b2", MARGINS[cell.metric].value)
            for cell in _cells(_T4, _PIXELS)
        ),
        "short trainings keep all variants close to each other, which favours this claim",
        presupposes=presuppose("b2", "loss-balance"),
    ),
    Claim(
        "real-blur",
        "4.3, Fig. 8",
        "DFPGnet generalises to real blurred photographs",
        (),
        "the photographs have no sharp images to compare with",
    ),
)


def allowed_margin(better: str, worse: str, metric: str) -> float:
    """By how much, in the metric's unit, the claim lets ``better`` be worse than ``worse``.

    Effects contain it: with a margin, one is positive for a ``better`` that is a little worse, too.
    """
    return max(
        (
            one.margin
            for claim in CLAIMS
            for one in claim.comparisons
            if (one.better, one.worse, one.cell.metric) == (better, worse, metric)
        ),
        default=0.0,
    )
