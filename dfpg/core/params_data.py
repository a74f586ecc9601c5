"""Sections of ``params.yaml`` that decide on images: kernels, faces, protocols, test sets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dfpg.core.derived import NOMINAL_SIZES
from dfpg.core.params_base import Frozen, GreyLevels, Name, Place, Source, check_distinct

SplineCount = Annotated[
    int, Field(ge=1, le=25_000, description="ten times the 2,500 per nominal size of MSPL")
]
TrajectoryCount = Annotated[
    int,
    Field(
        ge=len(NOMINAL_SIZES),
        le=200_000,
        description="ten times the 20,000 of Shen et al.; at least one of every nominal size",
    ),
]
Pictures = Annotated[
    int, Field(ge=1, le=1_000_000, description="the largest face set read here has 202,599")
]
Crop = Annotated[
    float, Field(ge=0.1, le=1, description="less than a tenth of the picture shows no face")
]
Modes = Annotated[
    list[Literal["center", "random"]],
    Field(min_length=1, max_length=2),
    AfterValidator(check_distinct),
]


Framing = Literal["close", "wide"]  # the face alone, or the head with its surroundings


class SplineKernels(Frozen):
    """Chakrabarti 2016 splines; counts are per nominal size."""

    train: SplineCount
    test: SplineCount
    validation: SplineCount
    inner_margin: Annotated[
        int,
        Field(
            ge=0,
            le=NOMINAL_SIZES[0] - 2,
            description="leaves two pixels inside the smallest kernel",
        ),
    ]


class TrajectoryKernels(Frozen):
    """Boracchi and Foi 2012 trajectories; counts are over all nominal sizes."""

    train: TrajectoryCount
    test: TrajectoryCount
    validation: TrajectoryCount


class Kernels(Frozen):
    """Both families of blur kernels."""

    spline: SplineKernels
    trajectory: TrajectoryKernels


class Augmentation(Frozen):
    """Random view of a training face (dolphin0104/MSPL-GAN)."""

    random_crop: bool
    flip: bool
    rotation: Annotated[
        float, Field(ge=0, le=360, description="degrees, drawn from +-rotation: a full turn")
    ]
    color_jitter: Annotated[
        float, Field(ge=0, lt=1, description="factors are drawn from [1 - jitter, 1 + jitter]")
    ]


class Subset(Frozen):
    """One column of the paper's tables and the face source that fills it here.

    ``crop`` is the side of the centre view as a share of the picture; None: the protocol's.
    """

    source: Source
    crop: Crop | None = None


class TestSet(Frozen):
    """Size of one protocol's test set.

    ``images_per_subset`` is per subset and mode: ``null`` takes all faces x kernels (paper size);
    a number takes that many pairs, stratified over people and nominal sizes.
    """

    subsets: Annotated[dict[Name, Subset], Field(min_length=1, max_length=16)]
    modes: Modes
    faces_per_subset: Annotated[
        int, Field(ge=1, le=70_000, description="all of FFHQ, the largest test source")
    ]
    kernels_per_size: Annotated[
        int, Field(ge=1, le=1000, description="a hundred times the paper's ten")
    ]
    images_per_subset: Pictures | None
    noise: GreyLevels  # standard deviation


class Protocol(Frozen):
    """How sharp faces become blurred ones: A = Shen et al. 2018, B = MSPL (Lee et al. 2020).

    ``framing`` is that of sources that have both, in training and test; others have one.
    """

    kernels: Literal["trajectory", "spline"]
    source: Source
    framing: Framing
    crop: Crop  # side of the crop as a share of the picture
    augmentation: Augmentation
    size_draw: Literal["batch", "image"]
    no_blur: bool
    noise: GreyLevels  # standard deviation
    test: TestSet


class FaceSource(Frozen):
    """A set of real photographs that the user has; ``path`` None: not at hand.

    ``train`` is the number of training pictures that are kept at most; None: all.
    """

    reader: Literal["celeba", "celebamask_hq", "helen", "ffhq", "folder"]
    path: Place | None
    train: Pictures | None = None
