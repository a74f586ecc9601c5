"""``params.yaml`` as frozen, strictly checked models.

Every number that a result depends on stands in ``params.yaml``. An unknown or mistyped key is an
error that names its path. A value marked "assumed" there is not stated by the paper.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dfpg.core.errors import UserError

PARAMS = Path("params.yaml")
NOMINAL_SIZES = (13, 15, 17, 19, 21, 23, 25, 27)  # kernel sizes at 128 px, paper section 4.2
REFERENCE_SIZE = 128  # px: image size that the nominal kernel sizes refer to

ProtocolName = Literal["a", "b"]
Framing = Literal["close", "wide"]  # the face alone, or the head with its surroundings
Positive = Annotated[int, Field(gt=0)]
Requested = Literal["auto", "fp32", "bf16"]  # auto: see dfpg.core.device.resolve_precision
Share = Annotated[float, Field(ge=0, le=1)]


class Frozen(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent type conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SplineKernels(Frozen):
    """Chakrabarti 2016 splines (METHODS section 3.2); counts are per nominal size."""

    train: Positive
    test: Positive
    inner_margin: Annotated[int, Field(ge=0)]


class TrajectoryKernels(Frozen):
    """Boracchi-Foi trajectories (METHODS section 3.1); counts are over all nominal sizes."""

    train: Positive
    test: Positive


class Kernels(Frozen):
    """Both families of blur kernels."""

    spline: SplineKernels
    trajectory: TrajectoryKernels


class Augmentation(Frozen):
    """Random view of a training face (METHODS section 2.3)."""

    random_crop: bool
    flip: bool
    rotation: Annotated[float, Field(ge=0, le=360)]  # degrees, drawn from +-rotation
    color_jitter: Annotated[float, Field(ge=0, lt=1)]  # factors from [1 - j, 1 + j]


class Subset(Frozen):
    """One column of the paper's tables and the face source that fills it here.

    ``crop`` is the side of the centre view as a share of the picture; None: the protocol's.
    """

    source: str
    crop: Annotated[float, Field(gt=0, le=1)] | None = None


class TestSet(Frozen):
    """Size of one protocol's test set.

    ``images_per_subset`` is per subset and mode: ``null`` takes all faces x kernels (paper size);
    a number takes that many pairs, stratified over people and nominal sizes.
    """

    subsets: dict[str, Subset]
    modes: list[Literal["center", "random"]]
    faces_per_subset: Positive
    kernels_per_size: Positive
    images_per_subset: Positive | None
    noise: Annotated[float, Field(ge=0)]  # grey levels, standard deviation


class Protocol(Frozen):
    """How sharp faces become blurred ones: A = Shen et al. 2018, B = MSPL (Lee et al. 2020).

    ``framing`` is that of sources that have both, in training and test; others have one.
    """

    kernels: Literal["trajectory", "spline"]
    source: str
    framing: Framing
    crop: Annotated[float, Field(gt=0, le=1)]  # side of the crop as a share of the picture
    augmentation: Augmentation
    size_draw: Literal["batch", "image"]
    no_blur: bool
    noise: Annotated[float, Field(ge=0)]  # grey levels, standard deviation
    test: TestSet


class Surrogate(Frozen):
    """Fine-tuning of the VGGFace surrogate (DESIGN section 4)."""

    size: Positive
    steps: Positive
    batch_size: Positive
    lr: Annotated[float, Field(gt=0)]


class FaceSource(Frozen):
    """A set of real photographs that the user has; ``path`` None: not at hand.

    ``train`` is the number of training pictures that are kept at most; None: all.
    """

    reader: Literal["celeba", "celebamask_hq", "helen", "ffhq", "folder"]
    path: str | None
    train: Positive | None = None


class Prior(Frozen):
    """Ground-truth deep feature prior P (paper section 4.1, METHODS section 1.4).

    ``source`` names the faces whose people the surrogate learns, and on whose test people any
    prior network is measured: people with several pictures each. ``parsing_size`` is the side in
    px at which BiSeNet parses the training faces.
    """

    vggface: str | None
    source: str = "embedded"
    taps: Literal["paper", "released"]
    input: Literal["canonical", "lab"]
    surrogate: Surrogate
    parsing_size: Annotated[int, Field(ge=256, multiple_of=32)]


class Training(Frozen):
    """Shared by all runs."""

    batch_size: Positive
    precision: Requested
    lr_decay: Annotated[float, Field(gt=0, le=1)]
    decay_every: Positive
    warmup: Annotated[int, Field(ge=0)]  # steps of linear rise of the learning rates
    ema: Annotated[float, Field(ge=0, lt=1)]
    checkpoint_every: Positive
    validate_every: Positive


class Run(Frozen):
    """One trained row: a method, the protocol it trains on, and its own options.

    ``view`` names the training batches (``dfpg.training.batch_views``); None: those of the method.
    ``weights`` is a file or folder of the authors' published weights, from the project's root: the
    run takes them and is not trained.
    """

    method: str
    protocol: ProtocolName
    steps: Positive
    lr: Annotated[float, Field(gt=0)]
    lr_discriminator: Annotated[float, Field(gt=0)]
    options: dict[str, Any]
    view: str | None = None
    weights: str | None = None


class Evaluation(Frozen):
    """Scoring of restored images."""

    batch_size: Positive
    precision: Requested  # of restoring; metrics are always fp32
    d_vgg_canonical: bool


class Statistics(Frozen):
    """Bootstrap over people."""

    resamples: Positive
    level: Annotated[float, Field(gt=0, lt=1)]


class PublishedPairs(Frozen):
    """The lab's verification lists for the Shen test set (METHODS section 5.2)."""

    lists: str  # folder with shen_celeba_positive_mod.txt and shen_celeba_negative_mod.txt
    pictures: str  # CelebA's img_align_celeba


class Recognition(Frozen):
    """Face detection and verification (Table 3)."""

    embedder: str | None  # None: the pinned asset; buffalo_sc; or the path of an ONNX file
    scrfd_threshold: Annotated[float, Field(gt=0, lt=1)]
    published_pairs: PublishedPairs | None  # None: pairs are drawn from the test people
    lfw: str | None  # scikit-learn's data folder with lfw_home/; None: no LFW figures


class Config(Frozen):
    """The whole of ``params.yaml``."""

    profile: str
    seed: int
    image_size: Annotated[int, Field(ge=32, multiple_of=4)]
    kernels: Kernels
    faces: dict[str, FaceSource]
    protocols: dict[ProtocolName, Protocol]
    prior: Prior
    training: Training
    methods: dict[str, dict[str, Any]]
    runs: dict[str, Run]
    evaluation: Evaluation
    statistics: Statistics
    recognition: Recognition


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping.

    Raises:
        UserError: the file is missing, is no YAML, or is no mapping.
    """
    try:
        data = YAML(typ="safe", pure=True).load(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run dfpg in the project's root") from error
    except YAMLError as error:
        first = " ".join(str(error).split())
        raise UserError(f"{path}: not valid YAML ({first})") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a mapping of keys to values")
    return data


def parse_config(data: dict[str, Any], path: Path) -> Config:
    """Validate a mapping; ``path`` only names it in errors.

    Raises:
        UserError: first offending key, with its path inside the file.
    """
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise UserError(validation_message(path, error)) from error


def validation_message(where: Path | str, error: ValidationError) -> str:
    """One line for the first problem that pydantic found: file, key path, what is wrong."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "(root)"
    text = first["msg"]
    if first["type"] == "extra_forbidden":
        text = "unknown key: remove it or correct its spelling"
    elif first["type"] != "missing":
        text = f"{text} (got {first['input']!r})"
    return f"{where}: {key}: {text}"


def load_config(path: Path = PARAMS) -> Config:
    """Read and validate ``params.yaml``; see :func:`load_yaml` and :func:`parse_config`."""
    return parse_config(load_yaml(path), path)
