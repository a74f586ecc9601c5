"""What every metric must do; the value of each is checked in its own module.

``d_vgg_canonical`` shares its class with ``d_vgg_authors`` and takes 0.3 s per image: see there.
"""

from __future__ import annotations

import pytest
import torch
from helpers.drawings import blur_box

from dfpg.core.errors import UserError
from dfpg.metrics.registry import build_metrics

NAMES = (
    "psnr",
    "ssim_matlab_rgb",
    "ssim_wang_rgb",
    "ssim_skimage",
    "lpips_alex",
    "lpips_vgg",
    "lpips_vgg_authors",
    "d_vgg_authors",
)
BOUNDS = {"psnr": (0, float("inf")), "ssim": (-1, 1), "lpips": (0, 2), "d_vgg": (0, float("inf"))}
PERFECT = {"psnr": float("inf"), "ssim": 1.0, "lpips": 0.0, "d_vgg": 0.0}


def family(name):
    return next(prefix for prefix in BOUNDS if name.startswith(prefix))


@pytest.fixture(params=NAMES)
def metric(request, metrics):
    return metrics[request.param]


def noise(seed, shape=(2, 3, 48, 48)):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8)


def test_names_and_order(config, metrics, prior):
    assert tuple(metrics) == NAMES
    assert all(metric.name == name for name, metric in metrics.items())
    evaluation = config.evaluation.model_copy(update={"d_vgg_canonical": True})
    more = build_metrics(config.model_copy(update={"evaluation": evaluation}), prior)
    assert tuple(more) == (*NAMES, "d_vgg_canonical")


def test_convention_is_one_sentence(metric):
    assert metric.convention.endswith(".")
    assert len(metric.convention) > 40


def test_identical_images_score_perfectly(metric, sharp):
    score = metric.score(sharp, metric.features(sharp))
    assert score.dtype == torch.float64
    assert score.shape == (2,)
    expected = torch.full((2,), PERFECT[family(metric.name)], dtype=torch.float64)
    torch.testing.assert_close(score, expected, rtol=0, atol=1e-12)


def test_scores_stay_in_their_range(metric, sharp):
    low, high = BOUNDS[family(metric.name)]
    for restored, reference in ((noise(0), noise(1)), (255 - sharp, sharp)):
        score = metric.score(restored, metric.features(reference))
        assert bool(((score >= low) & (score <= high)).all())


@pytest.mark.parametrize("level", [0, 255])
def test_constant_images_are_finite_and_perfect_with_themselves(metric, level):
    flat = torch.full((1, 3, 48, 48), level, dtype=torch.uint8)
    other = torch.full((1, 3, 48, 48), 128, dtype=torch.uint8)
    perfect = PERFECT[family(metric.name)]
    assert metric.score(flat, metric.features(flat)).item() == pytest.approx(perfect, abs=1e-9)
    assert bool(torch.isfinite(metric.score(flat, metric.features(other))).all())


def test_more_blur_scores_worse(metric, sharp):
    features = metric.features(sharp)
    better, worse = (metric.score(blur_box(sharp, size), features) for size in (3, 15))
    assert bool((better > worse if metric.higher_is_better else better < worse).all())


def test_each_image_is_scored_alone(metric, sharp, blurred):
    together = metric.score(blurred, metric.features(sharp))
    for index in range(2):
        pick = slice(index, index + 1)
        alone = metric.score(blurred[pick], metric.features(sharp[pick]))
        torch.testing.assert_close(together[pick], alone, rtol=2e-5, atol=0)


def test_features_are_rows_of_their_images(metric, sharp, blurred):
    order = torch.tensor([1, 0, 1])
    features = tuple(part[order] for part in metric.features(sharp))
    torch.testing.assert_close(
        metric.score(blurred[order], features),
        metric.score(blurred, metric.features(sharp))[order],
        rtol=2e-5,
        atol=0,
    )


def test_symmetric_in_its_two_images(metric, sharp, blurred):
    forward = metric.score(blurred, metric.features(sharp))
    backward = metric.score(sharp, metric.features(blurred))
    torch.testing.assert_close(forward, backward, rtol=1e-6, atol=0)


def test_inputs_are_left_alone(metric, sharp, blurred):
    features = metric.features(sharp)
    before = [part.clone() for part in (sharp, blurred, *features)]
    first = metric.score(blurred, features)
    assert torch.equal(first, metric.score(blurred, features))
    for old, new in zip(before, (sharp, blurred, *features), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 64, 64),
        torch.zeros(3, 64, 64, dtype=torch.uint8),
        torch.zeros(1, 1, 64, 64, dtype=torch.uint8),
        torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
    ],
    ids=["float", "no batch", "grey", "channels last"],
)
def test_other_types_and_shapes_are_refused(metric, images, sharp):
    with pytest.raises(UserError, match=f"{metric.name}: images must be uint8"):
        metric.features(images)
    with pytest.raises(UserError, match=f"{metric.name}: images must be uint8"):
        metric.score(images, metric.features(sharp))


def test_images_of_two_sizes_are_refused(metric, sharp):
    with pytest.raises(UserError, match="must have the same shape"):
        metric.score(noise(0, (2, 3, 72, 72)), metric.features(sharp))


def test_too_small_images_are_refused(metric):
    small = noise(0, (1, 3, 6, 6))
    if metric.name == "psnr":
        assert metric.score(small, metric.features(small)).item() == float("inf")
    else:
        with pytest.raises(UserError, match="too small"):
            metric.features(small)
