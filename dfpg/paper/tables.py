"""The paper's tables as data: rows, columns, and the convention of each metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dfpg.core.config import ProtocolName

Fidelity = Literal[
    "reference",  # the test images themselves
    "classical",  # nothing is learned
    "official weights",
    "reimplementation",
    "approximation",
    "external",  # someone's own outputs
    "reported only",
]

BASELINES = ("sharp", "blurred")
# Rows of dfpg.evaluation.classical: what a trained row has to beat, and what a filter that is given
# the kernel reaches.
FLOOR, CEILING = "richardson_lucy", "wiener"
CLASSICAL = (FLOOR, CEILING)
# Rows that no run of params.yaml fills, by the file of scores that holds them.
UNTRAINED_FILES = {"baselines": BASELINES, "classical": CLASSICAL}
# The network behind P and d_VGG: the paper's, or what stands in for it.
VGGFACE, SURROGATE = "VGGFace", "surrogate"
HIGHER_IS_BETTER = {
    "psnr": True,
    "ssim": True,
    "d_vgg": False,
    "lpips": False,
    "detection_pct": True,
    "detection_scrfd_pct": True,
    "verification_acc_pct": True,
    "verification_strict_acc_pct": True,
}
# As the paper prints them.
DECIMALS = {"psnr": 2, "ssim": 3, "d_vgg": 2, "lpips": 4} | dict.fromkeys(
    (name for name in HIGHER_IS_BETTER if name.endswith("_pct")), 2
)
HEADINGS = {
    "psnr": "PSNR (dB) ↑",
    "ssim": "SSIM ↑",
    "d_vgg": "d_VGG ↓",
    "lpips": "LPIPS ↓",
    "detection_pct": "detection, dlib HOG (%) ↑",
    "detection_scrfd_pct": "detection, SCRFD (%) ↑",
    "verification_acc_pct": "verification, authors (%) ↑",
    "verification_strict_acc_pct": "verification, strict (%) ↑",
}


# Test images by the training protocol that they are made for, as the column ``test_set`` of scores
# names them. The paper reports MSPL's by mode, as two test sets: ``TEST_SETS``.
TestImages = Literal["shen", "mspl"]
TEST_IMAGES: dict[ProtocolName, TestImages] = {"a": "shen", "b": "mspl"}


class PaperTestSet(NamedTuple):
    """One test set of the paper: protocol of its images, framing of its faces, and its name."""

    protocol: ProtocolName
    mode: str
    title: str

    @property
    def images(self) -> TestImages:
        """Value of the column ``test_set`` in files of scores."""
        return TEST_IMAGES[self.protocol]


TEST_SETS = {
    "shen": PaperTestSet("a", "center", "Shen test set"),
    "mspl_center": PaperTestSet("b", "center", "MSPL-Center"),
    "mspl_random": PaperTestSet("b", "random", "MSPL-Random"),
}
# Runs beyond the paper that have a row wherever they are missing, too.
BEYOND: dict[str, ProtocolName] = {"nafnet": "b", "restormer": "b"}
MEAN = "mean"  # subset name: mean over the subsets of the test set
SUBSET_TITLES = {
    "helen": "Helen",
    "celeba": "CelebA",
    "celeba_hq": "CelebA-HQ",
    "ffhq": "FFHQ",
    MEAN: "mean of the subsets",
}


class Column(NamedTuple):
    """One column group: a test set (key of ``TEST_SETS``) and a subset of it, or ``MEAN``."""

    test_set: str
    subset: str


class Cell(NamedTuple):
    """One column group and metric of a table."""

    table: str
    column: Column
    metric: str

    @property
    def sign(self) -> float:
        """1 where higher is better, -1 where lower is."""
        return 1.0 if HIGHER_IS_BETTER[self.metric] else -1.0


class RecognitionSet(NamedTuple):
    """Images whose faces Table 3 detects and verifies: protocol, subset and mode."""

    protocol: ProtocolName
    subset: str
    mode: str


RECOGNITION = RecognitionSet("a", "celeba", "center")


@dataclass(frozen=True)
class Row:
    """One row: the paper's key and the run that fills it (None: nothing can)."""

    key: str
    run: str | None
    fidelity: Fidelity = "reimplementation"
    prior: bool = False  # trained with the prior network P
    missing: str = ""  # why nothing can fill it, where that is so
    note: str = ""  # what is approximated, or what it does not see in training


@dataclass(frozen=True)
class Table:
    """One table of the paper; ``conventions`` maps its metric names to per-image columns.

    Table 3's conventions are estimates of their own (:mod:`dfpg.analysis.verification`).
    """

    name: str
    title: str
    protocol: ProtocolName  # further runs trained on this protocol are appended to the table
    columns: tuple[Column, ...]
    conventions: dict[str, str]
    rows: tuple[Row, ...]
    appends: bool = True
    recognition: bool = False


# Blind restoration: the weights that the paper used cannot be had from a package index.
_LI2020 = Row(
    "li2020",
    "li2020",
    "approximation",
    note="trained on its own degradation, with motion blur in a third of its pictures, of 3 to 9 "
    "px at 128 px; fixed component boxes instead of landmarks; loss weights from memory; trained "
    "here, at the profile's size",
)
_WANG2021 = Row(
    "wang2021",
    "wang2021",
    "approximation",
    note="trained on its own degradation, without motion blur; face prior trained here for a few "
    "steps instead of StyleGAN2 on FFHQ; no component losses",
)
_LU2019 = Row("lu2019", "lu2019", note="trained without pairs of blurred and sharp images")
_XIA2019 = Row("xia2019", "xia2019", note="trained without sharp images")
_BEYOND = "not in the paper"
_REFERENCES = (
    Row("sharp", "sharp", "reference"),
    Row("blurred", "blurred", "reference"),
    Row(
        FLOOR,
        FLOOR,
        "classical",
        note="deconvolution with one Gaussian for all images, chosen on validation people: the "
        "floor",
    ),
    Row(
        CEILING,
        CEILING,
        "classical",
        note="deconvolution with the kernel that blurred the image: the ceiling, which no blind "
        "method is given",
    ),
)

TABLES = (
    Table(
        name="table1",
        title="Table 1: Shen test set",
        protocol="a",
        columns=(Column("shen", "helen"), Column("shen", "celeba")),
        conventions={
            "psnr": "psnr",
            "ssim": "ssim_matlab_rgb",
            "d_vgg": "d_vgg_authors",
            "lpips": "lpips_alex",  # assumed
        },
        rows=(
            *_REFERENCES,
            Row("shen2018", "shen2018"),
            _LU2019,
            _XIA2019,
            Row("yasarla2020", "yasarla2020"),
            Row("shen2020", None, missing="reported only: no code or images exist"),
            Row("lee2020", "lee2020_a", prior=True),
            _LI2020,
            _WANG2021,
            Row("dfpg_a", "dfpg_a", prior=True),
        ),
    ),
    Table(
        name="table2",
        title="Table 2: MSPL test set",
        protocol="b",
        columns=tuple(
            Column(test_set, subset)
            for test_set in ("mspl_center", "mspl_random")
            for subset in ("celeba", "celeba_hq", "ffhq")
        ),
        conventions={
            "psnr": "psnr",
            "ssim": "ssim_matlab_rgb",
            "d_vgg": "d_vgg_authors",
            "lpips": "lpips_alex",  # assumed: what the published network Zhang scores fits it
        },
        rows=(
            *_REFERENCES,
            Row("shen2018", "shen2018"),  # the protocol A runs, not retrained, as in the paper
            _LU2019,
            Row("zhang2019", "zhang2019_generic", note="trained on pictures without faces"),
            Row("zhang2019_retrained", "zhang2019_b"),
            _XIA2019,
            Row("yasarla2020", "yasarla2020"),
            Row("yasarla2020_retrained", "yasarla2020_b"),
            Row("lee2020", "lee2020_b", prior=True),
            Row("dfpg_b", "dfpg_b", prior=True),
        ),
    ),
    Table(
        name="table3",
        title="Table 3: face detection and verification, CelebA part of the Shen test set",
        protocol="a",
        columns=(Column("shen", RECOGNITION.subset),),
        conventions={
            "detection_pct": "dlib_hog",
            "detection_scrfd_pct": "scrfd",
            "verification_acc_pct": "authors_detected",
            "verification_strict_acc_pct": "strict_detected",
        },
        rows=(
            *_REFERENCES,
            Row("shen2018", "shen2018"),
            _LU2019,
            _XIA2019,
            Row("yasarla2020", "yasarla2020"),
            Row("lee2020", "lee2020_a", prior=True),
            _LI2020,  # not in the paper's table
            _WANG2021,
            Row("dfpg_a", "dfpg_a", prior=True),
        ),
        recognition=True,
    ),
    Table(
        name="table4",
        title="Table 4: ablation, mean over the subsets of MSPL-Center",
        protocol="b",
        columns=(Column("mspl_center", MEAN),),
        conventions={
            "psnr": "psnr",
            "ssim": "ssim_matlab_rgb",
            "d_vgg": "d_vgg_authors",
            "lpips": "lpips_alex",
        },
        rows=(
            *_REFERENCES,
            Row("b1", "b1"),
            *(Row(f"b{number}", f"b{number}", prior=True) for number in range(2, 6)),
            Row("b6", "dfpg_b", prior=True),
            # Not in the paper's table: its B6 adds two things to B5 at once.
            Row("b6_ca", "b6_ca", prior=True, note=f"{_BEYOND}: B5 with CA-Dis, without Pr"),
            Row("b6_prior", "b6_prior", prior=True, note=f"{_BEYOND}: B5 with Pr, without CA-Dis"),
        ),
        appends=False,
    ),
)
