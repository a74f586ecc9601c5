"""The ``priors`` stage: VGGFace from the user's file, or the surrogate trained here.

The surrogate is VGG-16's ImageNet trunk, fine-tuned to tell the training people apart. It is a
drop-in for VGGFace: ImageNet's normalisation is folded into ``conv1_1``, so it takes 0-255 BGR
minus VGGFace's mean. Both networks pad with zeros in their own input space, so a folded network
pads with VGGFace's mean colour instead of ImageNet's. That changes an outermost ring of pixels,
which widens with depth; training runs through the folded network, so it learns with that border.

What a network knows of people is measured on people that it was not trained on: cosine similarity
of ``pool5``, averaged over positions, of pairs of pictures (:mod:`dfpg.metrics.auc`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dfpg.core.checked import to_half, write_checked
from dfpg.core.config import Augmentation, Config, Surrogate
from dfpg.core.device import (
    Precision,
    autocast,
    resolve_precision,
    select_device,
    set_deterministic,
)
from dfpg.core.errors import UserError, within_memory
from dfpg.core.files import sha256, write_text
from dfpg.core.progress import Progress
from dfpg.core.seeds import derive_seed, generator
from dfpg.data.augmentation import face_views
from dfpg.metrics.auc import auc_intervals, cosines, draw_pairs
from dfpg.pretrained.assets.store import asset_path
from dfpg.pretrained.vggface import (
    CARD,
    MEAN_BGR,
    TAPS,
    WEIGHTS,
    PriorNetwork,
    State,
    load_trunk,
    read_vggface,
    to_canonical,
)

if TYPE_CHECKING:
    from dfpg.data.faces.dataset import FaceSet

ASSET = "vgg16_imagenet"
IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)  # of images in 0-1
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)
CENTRE_CROP = 0.875  # share of the picture's side that is measured
TRAIN_CROPS = (0.75, 0.95)  # share of the side that a training step sees
AUGMENTATION = Augmentation(random_crop=True, flip=True, rotation=0.0, color_jitter=0.2)
WARM_UP = 20  # steps
HEAD_RATE = 100.0  # learning rate of the classifier, in multiples of the trunk's
BATCH = 64  # pictures at a time when measuring


def fold_normalisation(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """``conv1_1`` for VGGFace's input from ``conv1_1`` for ImageNet's; differentiable.

    ImageNet's networks take RGB (x/255 - mean)/std; VGGFace takes BGR 0-255 minus its own mean.
    Away from the border both convolutions give the same output.

    Args:
        weight: [64, 3, 3, 3], input channels RGB.
        bias: [64].

    Returns:
        Weight with input channels BGR, and bias.
    """
    mean = weight.new_tensor(IMAGENET_MEAN_RGB[::-1]).view(1, 3, 1, 1)
    std = weight.new_tensor(IMAGENET_STD_RGB[::-1]).view(1, 3, 1, 1)
    shift = (weight.new_tensor(MEAN_BGR).view(1, 3, 1, 1) / 255 - mean) / std
    bgr = weight.flip(1)
    return bgr / (255 * std), bias + (bgr * shift).sum((1, 2, 3))


def embed(network: PriorNetwork, pictures: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Mean of ``pool5`` over positions, [N, 512], of centre crops reduced to ``size`` px.

    Args:
        network: any prior network.
        pictures: RGB uint8 [N, S, S, 3].
        size: side in px that the network sees; a multiple of 32.
    """
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            images = _centre_view(pictures[start : start + BATCH], size).to(device)
            (pool5,) = network.features(images, ["pool5"])
            parts.append(pool5.mean((2, 3)).float().cpu().numpy())
    return np.concatenate(parts)


def drift(
    before: PriorNetwork, after: PriorNetwork, pictures: NDArray[np.uint8], size: int
) -> dict[str, float]:
    """Relative change |after - before| / |before| of the features that the prior loss uses."""
    images = _centre_view(pictures, size).to(next(before.parameters()).device)
    taps = TAPS["paper"]
    with torch.inference_mode():
        pairs = zip(before.features(images, taps), after.features(images, taps), strict=True)
        changes = [float((new - old).norm() / old.norm()) for old, new in pairs]
    return dict(zip(taps, changes, strict=True))


def fine_tune(
    state: State,
    faces: FaceSet,
    settings: Surrogate,
    seed: int,
    device: torch.device,
    precision: Precision,
) -> State:
    """Train the ImageNet trunk as an identity classifier; returns the folded trunk.

    Cross-entropy of a linear classifier on ``pool5`` averaged over positions; Adam, cosine decay.

    Args:
        state: ImageNet trunk, not folded.
        faces: people to tell apart.
        settings: ``prior.surrogate``.
        seed: of initial classifier, order and augmentation.
        device: where to train.
        precision: of convolutions; weights and classifier are fp32.

    Raises:
        UserError: the loss is no longer finite.
    """
    names, labels = np.unique(np.asarray(faces.people), return_inverse=True)
    network = PriorNetwork(state).to(device)
    network.requires_grad_(True)
    conv1_1 = cast(nn.Conv2d, network.layers[0])
    random = torch.Generator().manual_seed(derive_seed(seed, "surrogate", "head"))
    head = nn.Parameter((torch.randn(len(names), 512, generator=random) * 0.01).to(device))
    groups = [
        {"params": list(network.parameters()), "lr": settings.lr},
        {"params": [head], "lr": settings.lr * HEAD_RATE},
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(settings.steps))
    with Progress("surrogate of VGGFace", settings.steps, "step") as progress:
        for step in range(settings.steps):
            rows = rows_of_step(len(labels), settings.batch_size, seed, step)
            stream = generator(seed, "surrogate", "view", step)
            images = _training_view(faces.pictures[rows], settings.size, stream).to(device)
            target = torch.from_numpy(labels[rows]).to(device)
            with autocast(device, precision):
                weight, bias = fold_normalisation(conv1_1.weight, cast(Tensor, conv1_1.bias))
                values = F.conv2d(to_canonical(images), weight, bias, padding=1)
                pool5 = network.layers[1:](values)
            logits = pool5.float().mean((2, 3)) @ head.T
            loss = F.cross_entropy(logits, target)
            figure = loss.item()
            if not math.isfinite(figure):
                raise UserError(
                    f"surrogate: loss is {figure} at step {step}: lower prior.surrogate.lr"
                )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            progress.advance(loss=figure)
    return fold_state(network.state())


def fold_state(state: State) -> State:
    """Trunk with :func:`fold_normalisation` applied to ``conv1_1``."""
    weight, bias = fold_normalisation(state["features.0.weight"], state["features.0.bias"])
    return state | {"features.0.weight": weight, "features.0.bias": bias}


@within_memory("prior.surrogate.batch_size or prior.surrogate.size")
def build_prior(config: Config, train: FaceSet, held_out: FaceSet, out: Path) -> None:
    """The ``priors`` stage: write ``vgg16.safetensors`` and ``card.json`` to ``out``.

    The surrogate is kept in half precision, and measured as it is kept.

    Args:
        config: ``prior``, ``seed`` and ``statistics`` are used.
        train: people that the surrogate learns to tell apart.
        held_out: other people, on whom AUC and drift are measured.
        out: folder; the old files stay until the new ones are whole.

    Raises:
        UserError: a file is missing, damaged or no VGGFace; people of both sets overlap.
    """
    shared = set(train.people) & set(held_out.people)
    if shared:
        raise UserError(f"person {min(shared)} is both in the training and in the held-out faces")
    settings = config.prior.surrogate
    device = select_device()
    precision = resolve_precision(config.training.precision, device)
    set_deterministic()
    card: dict[str, Any]
    if config.prior.vggface is not None:
        path = Path(config.prior.vggface)
        state = read_vggface(path)
        networks = {"after": PriorNetwork(state).to(device)}
        card = {"network": "VGGFace", "source": path.name, "sha256": sha256(path)}
    else:
        path = asset_path(ASSET)
        trunk = load_trunk(path)
        state = to_half(fine_tune(trunk, train, settings, config.seed, device, precision))
        networks = {
            "before": PriorNetwork(fold_state(trunk)).to(device),
            "after": PriorNetwork(state).to(device),
        }
        card = {
            "network": "surrogate",
            "source": ASSET,
            "sha256": sha256(path),
            "training": settings.model_dump() | {"n_people": len(set(train.people))},
            "drift": drift(
                networks["before"], networks["after"], held_out.pictures[:BATCH], settings.size
            ),
        }
    card["verification"] = _verification(config, networks, held_out)
    write_checked(out / WEIGHTS, state, {"network": card["network"], "source": card["source"]})
    write_text(out / CARD, json.dumps(_round_floats(card), indent=2) + "\n")


def _verification(
    config: Config, networks: dict[str, PriorNetwork], faces: FaceSet
) -> dict[str, Any]:
    pairs = draw_pairs(faces.people, config.seed)
    size = config.prior.surrogate.size
    scores = {
        name: cosines(embed(network, faces.pictures, size), pairs)
        for name, network in networks.items()
    }
    statistics = config.statistics
    intervals = auc_intervals(scores, pairs, config.seed, statistics.resamples, statistics.level)
    return {
        "embedding": "pool5 averaged over positions; cosine similarity",
        "size": size,
        "n_people": pairs.n_people,
        "n_pairs": len(pairs.first),
        "level": statistics.level,
        "auc": {name: asdict(interval) for name, interval in intervals.items()},
    }


def _round_floats(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _round_floats(item) for key, item in value.items()}
    return value


def rows_of_step(count: int, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Indices of a step's pictures, [batch]: epochs are permutations, laid end to end."""
    places = np.arange(step * batch, (step + 1) * batch)
    orders = {
        epoch: generator(seed, "surrogate", "order", epoch).permutation(count)
        for epoch in range(int(places[0]) // count, int(places[-1]) // count + 1)
    }
    return np.array([orders[int(place) // count][int(place) % count] for place in places])


def _schedule(steps: int) -> Callable[[int], float]:
    """Factor of the learning rate by step: linear warm-up times cosine decay."""

    def factor(step: int) -> float:
        warm = min(1.0, (step + 1) / WARM_UP)
        return float(warm * 0.5 * (1 + np.cos(np.pi * step / steps)))

    return factor


def _centre_view(pictures: NDArray[np.uint8], size: int) -> Tensor:
    return face_views(torch.from_numpy(pictures), CENTRE_CROP, AUGMENTATION, size, None)


def _training_view(pictures: NDArray[np.uint8], size: int, stream: np.random.Generator) -> Tensor:
    crop = stream.uniform(*TRAIN_CROPS)  # one side per batch
    return face_views(torch.from_numpy(pictures), crop, AUGMENTATION, size, stream)
