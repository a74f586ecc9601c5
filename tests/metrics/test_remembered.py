from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from dfpg.core.errors import UserError
from dfpg.metrics.registry import PLAIN
from dfpg.metrics.remembered import cache_features


@dataclass
class Counted:
    """Mean difference; one float64 per image is kept."""

    name: str = "counted"
    convention: str = ""
    higher_is_better: bool = False
    calls: list[int] = field(default_factory=list)

    def features(self, sharp):
        self.calls.append(len(sharp))
        return (sharp.double().mean(dim=(1, 2, 3)),)

    def score(self, restored, features):
        return restored.double().mean(dim=(1, 2, 3)) - features[0]


def images(seed: int, count: int = 3) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=stream)


def test_features_of_the_same_images_are_computed_once():
    own = Counted()
    metric = cache_features({"counted": own})["counted"]
    for _ in range(3):
        for seed in (1, 2):
            scores = metric.score(images(9), metric.features(images(seed).clone()))
            torch.testing.assert_close(scores, own.score(images(9), own.features(images(seed))))
            own.calls.pop()
    assert own.calls == [3, 3]


def test_equal_bytes_of_another_shape_are_other_images():
    own = Counted()
    metric = cache_features({"counted": own})["counted"]
    metric.features(images(1))
    assert len(metric.features(images(1).view(1, 3, 24, 8))[0]) == 1


def test_what_has_no_room_is_computed_again():
    own, other = Counted(), Counted("other")
    metrics = cache_features({"counted": own, "other": other}, size=2 * 3 * 8)
    for _ in range(2):
        for seed in (1, 2):
            for metric in metrics.values():
                metric.features(images(seed))
    assert own.calls == other.calls == [3, 3, 3]  # both kept the first batch, neither the second


def test_metrics_without_a_network_stay_as_they_are(metrics, sharp, blurred):
    kept = cache_features(metrics)
    assert list(kept) == list(metrics)
    assert [kept[metric.name] for metric in PLAIN] == list(PLAIN)
    for name, metric in kept.items():
        own = metrics[name]
        assert (metric.name, metric.convention, metric.higher_is_better) == (
            own.name, own.convention, own.higher_is_better,
        )  # fmt: skip
        for _ in range(2):
            again = metric.score(blurred, metric.features(sharp))
            assert torch.equal(again, own.score(blurred, own.features(sharp)))


def test_a_metric_refuses_what_it_refuses(metrics):
    with pytest.raises(UserError, match="must be uint8"):
        cache_features(metrics)["lpips_alex"].features(torch.zeros(1, 3, 8, 8))
