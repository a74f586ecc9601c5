"""Sections of ``params.yaml`` that decide on trainings and on how they are measured."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from dfpg.core.params_base import (
    MAX_BATCH,
    MAX_SIDE,
    BatchSize,
    Frozen,
    LearningRate,
    Name,
    Place,
    PositiveSteps,
    Source,
    Steps,
)
from dfpg.core.params_data import NOMINAL_SIZES

ProtocolName = Literal["a", "b"]
Requested = Literal["auto", "fp32", "bf16"]  # auto: see dfpg.core.device.resolve_precision


class Surrogate(Frozen):
    """Fine-tuning of the VGGFace surrogate (DESIGN section 4)."""

    size: Annotated[
        int,
        Field(
            ge=32,
            le=224,
            multiple_of=32,
            description="px: VGG-16 halves five times, and was trained at 224",
        ),
    ]
    steps: PositiveSteps
    batch_size: BatchSize
    lr: LearningRate


class Prior(Frozen):
    """Ground-truth deep feature prior P (paper section 4.1).

    ``source`` names the faces whose people the surrogate learns, and on whose test people any
    prior network is measured: people with several pictures each. ``parsing_size`` is the side in
    px at which BiSeNet parses the training faces.
    """

    vggface: Place | None
    source: Source = "embedded"
    taps: Literal["paper", "released"]
    input: Literal["canonical", "lab"]
    surrogate: Surrogate
    parsing_size: Annotated[
        int,
        Field(ge=256, le=MAX_SIDE, multiple_of=32, description="BiSeNet was trained at 512 px"),
    ]


class Training(Frozen):
    """Shared by all runs."""

    batch_size: BatchSize
    precision: Requested
    lr_decay: Annotated[
        float, Field(ge=0.1, le=1, description="a factor per epoch: below a tenth training stops")
    ]
    decay_every: PositiveSteps
    warmup: Steps  # of linear rise of the learning rates
    ema: Annotated[
        float, Field(ge=0, le=0.99999, description="an average over at most 100,000 steps")
    ]
    checkpoint_every: PositiveSteps
    validate_every: PositiveSteps


class Run(Frozen):
    """One trained row: a method, the protocol it trains on, and its own options.

    ``view`` names the training batches (``dfpg.training.batch_views``); None: those of the method.
    ``weights`` is a file or folder of the authors' published weights, from the project's root: the
    run takes them and is not trained.
    """

    method: Name
    protocol: ProtocolName
    steps: PositiveSteps
    lr: LearningRate
    lr_discriminator: LearningRate
    options: dict[str, Any]
    view: Name | None = None
    weights: Place | None = None


class Evaluation(Frozen):
    """Scoring of restored images."""

    batch_size: Annotated[
        int, Field(ge=1, le=MAX_BATCH, description="larger batches are no faster, only larger")
    ]
    precision: Requested  # of restoring; metrics are always fp32
    d_vgg_canonical: bool


class Classical(Frozen):
    """Filters of one protocol's classical rows (``dfpg.evaluation.classical``)."""

    sigma: Annotated[
        float,
        Field(ge=0.1, le=NOMINAL_SIZES[-1], description="px at 128 px: the widest kernel's side"),
    ]
    steps: Annotated[
        int, Field(ge=1, le=1000, description="of Richardson-Lucy: tens amplify noise already")
    ]
    balance: Annotated[
        float, Field(ge=1e-9, le=1e3, description="of Wiener's filter: noise to signal")
    ]


class Statistics(Frozen):
    """Bootstrap over people."""

    resamples: Annotated[
        int, Field(ge=100, le=100_000, description="fewer give no interval, more change no digit")
    ]
    level: Annotated[
        float, Field(ge=0.5, le=0.999, description="of an interval: 0.95 is usual, 0.99 is strict")
    ]


class PublishedPairs(Frozen):
    """The authors' verification lists for the Shen test set (dolphin0104/MSPL-GAN)."""

    lists: Place  # folder with shen_celeba_positive_mod.txt and shen_celeba_negative_mod.txt
    pictures: Place  # CelebA's img_align_celeba


class Recognition(Frozen):
    """Face detection and verification (Table 3)."""

    embedder: Place | None  # None: the pinned asset; buffalo_sc; or the path of an ONNX file
    scrfd_threshold: Annotated[
        float, Field(ge=0.01, le=0.99, description="a detector's confidence, between 0 and 1")
    ]
    published_pairs: PublishedPairs | None  # None: pairs are drawn from the test people
    lfw: Place | None  # scikit-learn's data folder with lfw_home/; None: no LFW figures
