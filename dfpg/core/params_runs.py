"""Sections of ``params.yaml`` that decide on trainings and on how they are measured."""

from __future__ import annotations

from operator import not_
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from dfpg.core.derived import NOMINAL_SIZES
from dfpg.core.params_base import (
    MAX_BATCH,
    MAX_SIDE,
    BatchSize,
    Clip,
    Decay,
    Frozen,
    Images,
    LearningRate,
    Name,
    Place,
    PositiveSteps,
    Source,
    check_distinct,
)
from dfpg.core.schedule import Schedule

ProtocolName = Literal["a", "b"]
Requested = Literal["auto", "fp32", "bf16"]  # auto: see dfpg.core.device.resolve_precision


# A choice of later versions. Not taken, it is not among the parameters: those of earlier records
# stay what they are.
Option = Annotated[bool, Field(exclude_if=not_)]
Part = Annotated[float, Field(gt=0, le=1, description="a share of the run, up to its end")]


class Surrogate(Frozen):
    """Fine-tuning of the VGGFace surrogate."""

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
    source: Source
    taps: Literal["paper", "released"]
    input: Literal["canonical", "authors"]
    surrogate: Surrogate
    parsing_size: Annotated[
        int,
        Field(ge=256, le=MAX_SIDE, multiple_of=32, description="BiSeNet was trained at 512 px"),
    ]


class Training(Frozen):
    """Shared by all runs but where a system's own paper says otherwise.

    ``warmup`` is the share of a run in which the learning rates rise linearly. ``clip`` bounds the
    L2 norm of each optimiser's gradient, but for the discriminator's; ``ema`` is the decay of the
    moving average of the weights that becomes the result, 0: the last weights do. ``schedule``
    stands for that of every method. ``snapshots`` are shares of a run at which averaged weights are
    kept beside the result. ``compile``: the steps run compiled networks
    (:mod:`dfpg.training.compiled`); ``noise_on_device``: the device draws the noise of the batches
    (:class:`dfpg.training.batches.BatchSource`).
    """

    batch_size: BatchSize
    precision: Requested
    schedule: Schedule | None  # None: each method's own
    warmup: Annotated[
        float, Field(ge=0, le=0.5, description="a share of the run's steps, not a number of steps")
    ]
    clip: Clip | None  # None: gradients as they are
    ema: Decay
    snapshots: Annotated[
        list[Part], Field(min_length=0, max_length=20), AfterValidator(check_distinct)
    ]
    checkpoint_every: PositiveSteps
    validate_every: PositiveSteps
    compile: Option = False
    noise_on_device: Option = False


class Run(Frozen):
    """One trained row: a method, the protocol it trains on, and its own options.

    ``images`` are shown in batches of ``training.batch_size``, so that runs of equal ``images`` see
    the same ones. ``view`` names the training batches (``dfpg.training.batch_views``); None: those
    of the method. ``weights`` is a file or folder of the authors' published weights, from the
    project's root: the run takes them and is not trained. ``schedule`` takes the place of
    the method's, or of the profile's.
    """

    method: Name
    protocol: ProtocolName
    images: Images
    lr: LearningRate
    lr_discriminator: LearningRate
    options: dict[str, Any]
    view: Name | None = None
    weights: Place | None = None
    schedule: Schedule | None = None


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
    lfw: Place | None  # folder of LFW, or with lfw_home/; None: no LFW figures
