from __future__ import annotations

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from dfpg.metrics.d_vgg import d_vgg_authors, d_vgg_canonical
from dfpg.pretrained.assets.store import asset_path


def pool5(values):
    """VGG-16's 13 convolutions and five poolings, written out."""
    weights = load_file(asset_path("vgg16_imagenet"))
    index = 0
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            kernel, bias = (weights[f"features.{index}.{part}"] for part in ("weight", "bias"))
            values = functional.relu(functional.conv2d(values, kernel, bias, padding=1))
            index += 2
        values = functional.max_pool2d(values, 2)
        index += 1
    return values


def distance(own, other):
    return (own - other).double().square().mean((1, 2, 3)).numpy()


def test_lab_feeds_rgb_in_0_to_255_as_it_is(prior, sharp, blurred):
    metric = d_vgg_authors(prior)
    features = metric.features(sharp)
    assert [part.shape for part in features] == [(2, 512, 1, 1)]
    expected = distance(pool5(blurred.float()), pool5(sharp.float()))
    np.testing.assert_allclose(metric.score(blurred, features).numpy(), expected, rtol=1e-4)


def test_canonical_feeds_bgr_minus_the_mean_at_224(prior, sharp, blurred):
    def prepare(images):
        batch = []
        for image in images.permute(0, 2, 3, 1).numpy():
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR).astype(np.float32)
            large = cv2.resize(bgr, (224, 224), interpolation=cv2.INTER_LINEAR)
            batch.append((large - np.float32([93.5940, 104.7624, 129.1863])).transpose(2, 0, 1))
        return torch.from_numpy(np.stack(batch))

    metric = d_vgg_canonical(prior)
    score = metric.score(blurred[:1], metric.features(sharp[:1]))
    expected = distance(pool5(prepare(blurred[:1])), pool5(prepare(sharp[:1])))
    np.testing.assert_allclose(score.numpy(), expected, rtol=1e-3)


def test_canonical_of_identical_images_is_zero(prior, sharp):
    metric = d_vgg_canonical(prior)
    assert metric.score(sharp[:1], metric.features(sharp[:1])).item() == 0


def test_lab_depends_on_the_order_of_channels(prior, sharp, blurred):
    metric = d_vgg_authors(prior)
    rgb = metric.score(blurred, metric.features(sharp))
    bgr = metric.score(blurred.flip(1), metric.features(sharp.flip(1)))
    assert bool(((rgb - bgr).abs() > 1e-3 * rgb).all())


def test_lab_has_the_magnitude_of_the_0_to_255_range(prior, sharp, blurred):
    # The published values (tens to hundreds) cannot arise from inputs in [0, 1] or [-1, 1].
    metric = d_vgg_authors(prior)
    score = metric.score(blurred, metric.features(sharp))
    assert score.min().item() > 10
    scaled = [(images / 127.5 - 1).float() for images in (blurred, sharp)]
    small = distance(pool5(scaled[0]), pool5(scaled[1]))
    assert small.max() < 2
