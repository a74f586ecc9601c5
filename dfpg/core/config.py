"""``params.yaml`` as frozen, strictly checked models.

Every number that a result depends on stands in ``params.yaml``. An unknown or mistyped key is an
error that names its path. A value marked "assumed" there is not stated by the paper. The sections
are in ``params_data`` and ``params_runs``, what they are made of in ``params_base``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, cast, get_args

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dfpg.core.derived import NOMINAL_SIZES, REFERENCE_SIZE, sources
from dfpg.core.errors import UserError, file_error
from dfpg.core.params_base import (
    MAX_SIDE,
    BatchSize,
    Clip,
    Decay,
    Depth,
    Frozen,
    GreyLevels,
    Images,
    LearningRate,
    Name,
    Place,
    Positive,
    PositiveSteps,
    Share,
    Source,
    Steps,
    Weight,
    Width,
    first_problem,
    key_path,
    shorten,
    validation_message,
)
from dfpg.core.params_data import (
    Augmentation,
    FaceSource,
    Framing,
    Kernels,
    Protocol,
    SplineKernels,
    Subset,
    TestSet,
    TrajectoryKernels,
)
from dfpg.core.params_runs import (
    Classical,
    Evaluation,
    Prior,
    ProtocolName,
    PublishedPairs,
    Recognition,
    Requested,
    Run,
    Statistics,
    Surrogate,
    Training,
)

__all__ = [
    "MAX_SIDE",
    "NOMINAL_SIZES",
    "PARAMS",
    "REFERENCE_SIZE",
    "Augmentation",
    "BatchSize",
    "Classical",
    "Clip",
    "Config",
    "Decay",
    "Depth",
    "Evaluation",
    "FaceSource",
    "Framing",
    "Frozen",
    "GreyLevels",
    "Images",
    "Kernels",
    "LearningRate",
    "Name",
    "Place",
    "Positive",
    "PositiveSteps",
    "Prior",
    "Protocol",
    "ProtocolName",
    "PublishedPairs",
    "Recognition",
    "Requested",
    "Run",
    "Share",
    "Source",
    "SplineKernels",
    "Statistics",
    "Steps",
    "Subset",
    "Surrogate",
    "TestSet",
    "Training",
    "TrajectoryKernels",
    "Weight",
    "Width",
    "check_runs",
    "first_problem",
    "key_path",
    "load_config",
    "load_yaml",
    "parse_config",
    "protocol_name",
    "shorten",
    "sources",
    "unknown_run",
    "validation_message",
]

PARAMS = Path("params.yaml")
MAX_BYTES = 1_000_000  # of params.yaml; the committed one has 12,000


class Config(Frozen):
    """The whole of ``params.yaml``."""

    profile: Name
    seed: Annotated[int, Field(ge=0, le=2**63 - 1, description="what random generators take")]
    image_size: Annotated[
        int,
        Field(ge=32, le=MAX_SIDE, multiple_of=4, description="px: FFHQ's own side is 1024"),
    ]
    kernels: Kernels
    faces: Annotated[dict[Name, FaceSource], Field(max_length=100)]
    protocols: Annotated[dict[ProtocolName, Protocol], Field(min_length=2, max_length=2)]
    prior: Prior
    training: Training
    methods: Annotated[dict[Name, dict[str, Any]], Field(max_length=1000)]
    runs: Annotated[dict[Name, Run], Field(min_length=1, max_length=1000)]
    evaluation: Evaluation
    classical: Annotated[dict[ProtocolName, Classical], Field(min_length=2, max_length=2)]
    statistics: Statistics
    recognition: Recognition


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping.

    Raises:
        UserError: the file is missing, unreadable, too large, no YAML, or no mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: over {MAX_BYTES} bytes: not a file of parameters")
        data = YAML(typ="safe", pure=True).load(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run dfpg in the project's root") from error
    except OSError as error:
        raise file_error(path, "read", error) from error
    except RecursionError as error:
        raise UserError(f"{path}: not valid YAML (nested too deeply)") from error
    except (YAMLError, ValueError) as error:
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


def load_config(path: Path = PARAMS) -> Config:
    """Read and validate ``params.yaml``; see :func:`load_yaml` and :func:`parse_config`."""
    return parse_config(load_yaml(path), path)


def check_runs(config: Config, runs: Iterable[str], further: Sequence[str] = ()) -> None:
    """Refuse a run that ``params.yaml`` does not have.

    Args:
        config: of ``params.yaml``.
        runs: keys that a user named.
        further: what can be named beside the keys of ``runs``, for the error.

    Raises:
        UserError: there is no such run.
    """
    for run in runs:
        if run not in config.runs:
            raise unknown_run(f"{PARAMS}: runs.{run}", [*further, *config.runs])


def unknown_run(where: str, known: Iterable[str]) -> UserError:
    """What to raise where a run is named that does not exist.

    Args:
        where: the run and the place that names it.
        known: what there is instead.
    """
    return UserError(f"{where}: no such run: use one of {', '.join(known)}")


def protocol_name(text: str) -> ProtocolName:
    """The protocol that a user named.

    Raises:
        UserError: there is no such protocol.
    """
    if text not in get_args(ProtocolName):
        raise UserError(f"protocol {text!r} is unknown: use a or b")
    return cast(ProtocolName, text)
