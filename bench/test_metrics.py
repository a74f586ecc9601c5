"""Every metric, in turn with restoring by full-width DFPGnet: what is spent on which.

As ``dfpg.evaluation.score`` does it: ``features`` is what a metric computes of one sharp image,
once for each face of a batch; ``score`` is the rest, for a batch of restored images, the handing
out of the features to them included. Detectors and embedder take one image after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.inputs import (
    blurred_batch,
    blurred_faces,
    prior_network,
    profile,
    sharp_faces,
    untrained_method,
)
from bench.measure import Action, Timing, multiply_accumulates
from bench.peak import Arithmetic, convolution_arithmetic
from bench.test_restore import restore_action, restoring_macs
from dfpg.core.device import resolve_precision
from dfpg.metrics.common import Features, Metric
from dfpg.metrics.detection import DlibHog
from dfpg.metrics.registry import build_metrics
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.detector import FaceDetector
from dfpg.pretrained.embedder import FaceEmbedder

BATCH = 16
SIZE = 128  # px
NAMES = (
    "psnr",
    "ssim_matlab_rgb",
    "ssim_wang_rgb",
    "ssim_skimage",
    "lpips_alex",
    "lpips_vgg",
    "lpips_vgg_authors",
    "d_vgg_authors",
    "d_vgg_canonical",
)
EYES_NOSE_MOUTH = ((48, 58), (80, 58), (64, 78), (50, 96), (78, 96))  # px, about there


@cache
def metrics(device: torch.device) -> dict[str, Metric]:
    """All metrics, the canonical d_VGG among them."""
    config = profile("embedded", SIZE)
    wanted = config.evaluation.model_copy(update={"d_vgg_canonical": True})
    config = config.model_copy(update={"evaluation": wanted})
    return build_metrics(config, prior_network(device), device)


def one_face(device: torch.device) -> tuple[Tensor, Tensor]:
    """A sharp face [1, 3, SIZE, SIZE] and blurred images [BATCH, 3, SIZE, SIZE], uint8."""
    return sharp_faces(SIZE)[:1].to(device), blurred_faces(SIZE)[:BATCH].to(device)


def score(metric: Metric, images: Tensor, features: Features) -> Tensor:
    """Scores of images that all belong to one face."""
    face_of = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    return metric.score(images, tuple(part[face_of] for part in features))


def actions(device: torch.device) -> dict[str, Action]:
    """Restoring in both precisions, and each metric's two parts."""
    sharp, blurred = one_face(device)
    network = untrained_method(profile("paper", SIZE), "dfpgnet").to(device).train(False)
    image = blurred_batch(SIZE, BATCH, device)
    found = {"restore-fp32": restore_action(network, image, "fp32")}
    if resolve_precision("auto", device) == "bf16":
        found["restore-bf16"] = restore_action(network, image, "bf16")
    for name, metric in metrics(device).items():
        found[f"{name}-features"] = partial(metric.features, sharp)
        found[f"{name}-score"] = partial(score, metric, blurred, metric.features(sharp))
    return found


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_restore_beside_metrics(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    precision: Arithmetic,
) -> None:
    timings = in_turn("metrics", lambda: actions(device))
    if f"restore-{precision}" not in timings:
        pytest.skip("no native bf16 here")
    timing = timings[f"restore-{precision}"]
    assert timing.result.shape == (BATCH, 3, SIZE, SIZE)
    assert timing.result.isfinite().all()
    record(
        timing,
        subject="dfpgnet",
        variant=precision,
        image_size=SIZE,
        batch=BATCH,
        macs=restoring_macs("dfpgnet", SIZE) * BATCH,
        arithmetic="bf16" if precision == "bf16" else convolution_arithmetic(device),
    )


@pytest.mark.parametrize("part", ["features", "score"])
@pytest.mark.parametrize("name", NAMES)
def test_metric(
    record: Callable[..., None],
    in_turn: Callable[..., dict[str, Timing]],
    device: torch.device,
    name: str,
    part: str,
) -> None:
    assert tuple(metrics(device)) == NAMES
    timings = in_turn("metrics", lambda: actions(device))
    timing, metric = timings[f"{name}-{part}"], metrics(device)[name]
    sharp, blurred = one_face(device)
    scores, features = timings[f"{name}-score"].result, timings[f"{name}-features"].result
    assert scores.shape == (BATCH,)
    assert scores.isfinite().all()
    assert torch.allclose(scores[-1:], metric.score(blurred[-1:], features), rtol=1e-3)
    calls = {
        "features": lambda: metric.features(sharp),
        "score": lambda: metric.score(blurred[:1], features),
    }
    batch = 1 if part == "features" else BATCH
    record(
        timing,
        subject=name,
        variant=part,
        image_size=SIZE,
        batch=batch,
        macs=multiply_accumulates(calls[part]) * batch or None,
        arithmetic="fp64" if name.startswith("ssim") else "fp32",  # never TF32
    )


def recognisers() -> dict[str, Action]:
    """The three networks of Table 3, each on all images of the batch."""
    pictures: NDArray[np.uint8] = blurred_faces(SIZE)[:BATCH].permute(0, 2, 3, 1).numpy()
    points = np.tile(np.array(EYES_NOSE_MOUTH, np.float32), (BATCH, 1, 1))
    dlib_hog, scrfd = DlibHog(), FaceDetector(asset_path("scrfd"))
    embedder = FaceEmbedder(asset_path("mobilefacenet"))
    return {
        "dlib_hog": lambda: [dlib_hog(picture) for picture in pictures],
        "scrfd": lambda: [scrfd(picture) for picture in pictures],
        "embedder": lambda: [embedder(*one) for one in zip(pictures, points, strict=True)],
    }


@pytest.mark.parametrize("name", ["dlib_hog", "scrfd", "embedder"])
def test_recognition(
    record: Callable[..., None], in_turn: Callable[..., dict[str, Timing]], name: str
) -> None:
    timing = in_turn("recognition", recognisers)[name]
    assert len(timing.result) == BATCH
    if name == "embedder":
        assert np.allclose(np.linalg.norm(timing.result, axis=1), 1, atol=1e-5)
    else:
        assert sum(bool(found) for found in timing.result) >= BATCH // 2
    record(timing, subject=name, variant="cpu", image_size=SIZE, batch=BATCH)
