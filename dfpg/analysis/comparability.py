"""Is a value the paper's? Verdict on a reproduced figure beside the printed one, with a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

from dfpg.analysis.estimates import Estimate, subset_names
from dfpg.analysis.result_records import DeviationRecord, TableRecord
from dfpg.analysis.training_cost import training_images
from dfpg.core.config import NOMINAL_SIZES, REFERENCE_SIZE, Config
from dfpg.core.profile import resolve_profile
from dfpg.paper.published import (
    ERRATA,
    MATCH_TOLERANCE,
    PublishedKey,
    PublishedValue,
    published_values,
)
from dfpg.paper.tables import MEAN, SURROGATE, TEST_SETS, VGGFACE, Column, Row

MATCHES, WITHIN, DEVIATES = "matches", "within interval", "deviates"
NOT_COMPARABLE = "not comparable"

# Face sources that hold the pictures a slot is named after.
SLOT_SOURCES = {
    "helen": ("helen",),
    "celeba": ("celeba",),
    "celeba_hq": ("celeba_hq", "celebamask_hq"),
    "ffhq": ("ffhq",),
}
# Faces and kernels of each subset of the paper's test sets (Shen et al. 2018, Lee et al. 2020).
PAPER_FACES = {"a": 100, "b": 80}
PAPER_KERNELS = 80
SOURCE_LABELS = {"embedded": "embedded (generated people)"}


def slot_labels(config: Config, column: Column) -> list[str]:
    """What fills the column's slots, e.g. ``celeba <- embedded (generated people)``."""
    return [
        f"{name} <- {SOURCE_LABELS.get(source, source)}"
        for name, source in _sources(config, column)
    ]


def prior_network(config: Config) -> str:
    """Name of the network behind P and d_VGG."""
    return VGGFACE if config.prior.vggface else SURROGATE


def differences_from_paper(config: Config, column: Column, metric: str) -> list[str]:
    """Why a column's values of a metric are not the paper's quantity; empty where they are."""
    found = []
    if any(source not in SLOT_SOURCES.get(name, ()) for name, source in _sources(config, column)):
        found.append(f"other images: {'; '.join(slot_labels(config, column))}")
    if config.image_size != REFERENCE_SIZE:
        found.append(f"{config.image_size} px instead of {REFERENCE_SIZE}")
    if metric == "d_vgg" and prior_network(config) != VGGFACE:
        found.append(f"d_VGG by the {prior_network(config)} instead of {VGGFACE}")
    if metric.startswith("verification"):
        found.append("verified by another MobileFaceNet, aligned by SCRFD instead of MTCNN")
    return found


def obstacles(config: Config, row: Row, column: Column, metric: str) -> list[str]:
    """What differs from the paper though the quantity is the same; other images have no such list.

    Nobody published the paper's test kernels, nor which photographs MSPL's subsets hold.
    """
    if any(source not in SLOT_SOURCES.get(name, ()) for name, source in _sources(config, column)):
        return []
    found = ["other faces of the same set"]
    if row.run != "sharp":
        found.append("other kernels of the same kind")
    images, paper = training_images(config, row.run), _paper_images(row.run)
    if images and paper and images != paper:
        found.append(f"trained on {images:,} images, as published on {paper:,}")
    if images and row.prior and metric != "d_vgg" and prior_network(config) != VGGFACE:
        found.append(f"trained with the {prior_network(config)} instead of {VGGFACE}")
    return found


def printed_variance(config: Config, column: Column, people: int) -> float:
    """Variance of a printed value over that of ours: the paper's faces and kernels are a sample.

    A variance falls with the number of faces, and of kernels; the ratio is the larger of both, so
    that the printed value is never taken for surer than it is.

    Args:
        config: has the number of kernels.
        column: where the value stands.
        people: number of ours.
    """
    protocol = TEST_SETS[column.test_set].protocol
    faces = PAPER_FACES[protocol] * len(subset_names(config, column))
    kernels = config.protocols[protocol].test.kernels_per_size * len(NOMINAL_SIZES)
    return max(people / faces, kernels / PAPER_KERNELS)


def comparison_verdict(
    bounds: Estimate,
    published: PublishedValue,
    metric: str,
    differences: Sequence[str],
    variance: float,
) -> tuple[str, str]:
    """Verdict on a value beside the printed one, and the reason for it.

    Args:
        bounds: ours.
        published: as printed.
        metric: names the tolerance.
        differences: why the two are not the same quantity.
        variance: of the printed value (:func:`printed_variance`). Both are samples, so the
            half-width of our interval on the printed value's side is enlarged by it.
    """
    if differences:
        return NOT_COMPARABLE, ", ".join(differences)
    if not math.isfinite(bounds.low) or not math.isfinite(bounds.high):
        return NOT_COMPARABLE, "no interval: too few people"
    printed = published.value
    tolerance = MATCH_TOLERANCE[metric] * (printed if metric == "d_vgg" else 1)
    if abs(bounds.mean - printed) <= tolerance:
        return MATCHES, f"within {tolerance:.3g} of the printed value"
    half = bounds.high - bounds.mean if printed > bounds.mean else bounds.mean - bounds.low
    reach = half * math.sqrt(1 + variance)
    if abs(bounds.mean - printed) <= reach:
        return WITHIN, f"within {reach:.3g} of the printed value, by both samples of test images"
    return DEVIATES, f"beyond {reach:.3g} from the printed value, by both samples of test images"


@cache
def _published_config() -> Config:
    return resolve_profile("paper")[0]


def _paper_images(run: str | None) -> int | None:
    """Images that a run is trained on in the profile with everyone's published schedule."""
    return training_images(_published_config(), run)


def _sources(config: Config, column: Column) -> list[tuple[str, str]]:
    """(subset, face source) of the column's slots."""
    subsets = config.protocols[TEST_SETS[column.test_set].protocol].test.subsets
    return [
        (name, subset.source) for name, subset in subsets.items() if column.subset in (name, MEAN)
    ]


def deviation_records(tables: Mapping[str, Sequence[TableRecord]]) -> list[DeviationRecord]:
    """One record per figure that the paper prints: published, reproduced, verdict, erratum."""
    found = {
        PublishedKey(name, record.row, record.test_set, record.subset, record.metric): record
        for name, records in tables.items()
        for record in records
    }
    return [
        DeviationRecord(
            table=key.table,
            row=key.row,
            test_set=key.test_set,
            subset=key.subset,
            metric=key.metric,
            published=published.text,
            value=found[key].value,
            ci_low=found[key].ci_low,
            ci_high=found[key].ci_high,
            deviation=found[key].deviation,
            verdict=found[key].verdict,
            reason=found[key].reason,
            erratum=ERRATA.get(key, ""),
        )
        for key, published in published_values().items()
    ]
