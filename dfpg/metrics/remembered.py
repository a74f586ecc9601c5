"""Features of sharp images, kept for the next run that is scored on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from torch import Tensor

from dfpg.metrics.common import Features, Metric
from dfpg.metrics.registry import PLAIN

# Bytes of features that are kept. The embedded profile's test sets need 1.5e9; of larger ones the
# first batches are kept, and the others are computed for every run.
CACHE_BYTES = 2**31


class CachedMetric:
    """A metric that computes the features of a batch of sharp images once.

    Scores are the metric's own, bit for bit: the kept features are those of the same batch.

    Args:
        metric: whose features are worth keeping.
        room: what may be kept by all metrics together; they share one.
    """

    def __init__(self, metric: Metric, room: CacheBudget) -> None:
        self._metric, self._room = metric, room
        self._kept: dict[tuple[tuple[int, ...], bytes], Features] = {}
        self.name, self.convention = metric.name, metric.convention
        self.higher_is_better = metric.higher_is_better

    def features(self, sharp: Tensor) -> Features:
        """The metric's features, computed or kept; the caller must not change them."""
        key = (tuple(sharp.shape), sha256(sharp.cpu().numpy().tobytes()).digest())
        if key in self._kept:
            return self._kept[key]
        found = self._metric.features(sharp)
        if self._room.take(sum(part.nbytes for part in found)):
            self._kept[key] = found
        return found

    def score(self, restored: Tensor, features: Features) -> Tensor:
        """The metric's own scores."""
        return self._metric.score(restored, features)


class CacheBudget:
    """Memory that several metrics share."""

    def __init__(self, size: int) -> None:
        """``size`` is in bytes."""
        self._left = size

    def take(self, size: int) -> bool:
        """Whether so many bytes were left; then they are taken."""
        if size > self._left:
            return False
        self._left -= size
        return True


def cache_features(metrics: Mapping[str, Metric], size: int = CACHE_BYTES) -> dict[str, Metric]:
    """The same metrics, those on a network with a memory of ``size`` bytes in all.

    The others take as long to look up as to compute.
    """
    room = CacheBudget(size)
    plain = {metric.name for metric in PLAIN}
    return {
        name: metric if name in plain else CachedMetric(metric, room)
        for name, metric in metrics.items()
    }
