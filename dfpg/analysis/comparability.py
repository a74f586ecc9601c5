"""Is a value the paper's? Verdict on a reproduced figure beside the printed one, with a reason."""

from __future__ import annotations

from collections.abc import Sequence

from dfpg.analysis.estimates import Estimate
from dfpg.core.config import REFERENCE_SIZE, Config
from dfpg.paper.published import MATCH_TOLERANCE
from dfpg.paper.tables import MEAN, SURROGATE, TEST_SETS, VGGFACE, Column

MATCHES, WITHIN, DEVIATES = "matches", "within interval", "deviates"
NOT_COMPARABLE = "not comparable"

# Face sources that hold the pictures a slot is named after.
SLOT_SOURCES = {
    "helen": ("helen",),
    "celeba": ("celeba",),
    "celeba_hq": ("celeba_hq", "celebamask_hq"),
    "ffhq": ("ffhq",),
}
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


def comparison_verdict(
    bounds: Estimate, published: float, metric: str, differences: Sequence[str]
) -> tuple[str, str]:
    """Verdict on a value beside the printed one, and the reason for it."""
    if differences:
        return NOT_COMPARABLE, ", ".join(differences)
    tolerance = MATCH_TOLERANCE[metric] * (published if metric == "d_vgg" else 1)
    if abs(bounds.mean - published) <= tolerance:
        return MATCHES, f"within {tolerance:.3g} of the printed value"
    if bounds.low <= published <= bounds.high:
        return WITHIN, "the printed value lies inside the interval"
    return DEVIATES, "the printed value lies outside the interval"


def _sources(config: Config, column: Column) -> list[tuple[str, str]]:
    """(subset, face source) of the column's slots."""
    subsets = config.protocols[TEST_SETS[column.test_set].protocol].test.subsets
    return [
        (name, subset.source) for name, subset in subsets.items() if column.subset in (name, MEAN)
    ]
