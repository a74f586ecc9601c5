"""What the sections of ``params.yaml`` are made of: a strict model, and numbers with two bounds.

An upper bound is what a person could mean with room to spare, not what a machine can bear. It
turns a slip (``1e9`` for ``1e-9``, a digit too many) into one line instead of a run that fills the
memory or never ends. Each states its reason as ``description``.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from dfpg.core.renamed import CHOICES, KEYS

SHOWN = 80  # characters of a wrong value that an error repeats

MAX_STEPS = 10_000_000
MAX_IMAGES = 1_000_000_000
MAX_BATCH = 4096
MAX_WIDTH = 1024
MAX_SIDE = 1024  # px

T = TypeVar("T", bound=Hashable)


class Frozen(BaseModel):
    """Base of all sections: immutable, no unknown keys, no silent type conversion, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        """Name an unknown key first: a misspelt key is missing under its right name, too."""
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    near = get_close_matches(str(key), cls.model_fields, n=1)
                    advice = f"did you mean {near[0]}?" if near else "remove it"
                    advice = KEYS.get((cls.__name__, str(key)), advice)
                    raise PydanticCustomError(
                        "unknown_key", "unknown key {key}; {advice}", {"key": key, "advice": advice}
                    )
        return data


def first_problem(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Place (keys and indices) and text of the first problem that pydantic found."""
    first = error.errors()[0]
    place, text = first["loc"], first["msg"]
    if first["type"] == "unknown_key":
        key = first["ctx"]["key"]
        shown, advice = _show_key(key), first["ctx"]["advice"]
        return (*place, key), f"unknown key {shown}; {advice}"
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"])
    given = first["input"]
    if first["type"] == "literal_error" and isinstance(given, str) and given in CHOICES:
        text = f"{given!r} is now {CHOICES[given]!r}: {text}"
    if first["type"] != "missing":
        text = f"{text} (got {shorten(first['input'])})"
    return place, text


def validation_message(where: Path | str, error: ValidationError) -> str:
    """One line for the first problem that pydantic found: file, key path, what is wrong."""
    place, text = first_problem(error)
    return f"{where}: {key_path(place)}: {text}"


def key_path(place: Sequence[str | int]) -> str:
    """``runs.b1.lr`` of its parts; pydantic marks a wrong key, other than a value, as ``[key]``."""
    return ".".join(_show_key(part) for part in place if part != "[key]") or "(root)"


def _show_key(part: Any) -> str:
    """A key as it is, or with escapes where it would move the cursor or break the line."""
    text = str(part)
    return text if text.isprintable() and len(text) <= SHOWN else shorten(part)


def shorten(value: Any) -> str:
    """A wrong value as Python writes it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = f"a number of {value.bit_length()} bits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def check_distinct(values: list[T]) -> list[T]:
    """The list, if nothing is in it twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{value!r} is named twice")
    return values


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
JOIN = "+"  # of the names of several face sources


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError("a name has letters, digits, _ and -, and does not begin with _ or -")
    return text


def _source(text: str) -> str:
    check_distinct([_name(part) for part in text.split(JOIN)])
    return text


def _place(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a path has no control characters")
    return text


Positive = Annotated[
    int,
    Field(ge=1, le=MAX_STEPS, description="no count in any of the papers reaches ten million"),
]
Steps = Annotated[
    int,
    Field(ge=0, le=MAX_STEPS, description="the longest published schedule has 1,520,000 steps"),
]
Images = Annotated[
    int,
    Field(ge=1, le=MAX_IMAGES, description="published trainings show up to 24,320,000 images"),
]
PositiveSteps = Annotated[
    int,
    Field(ge=1, le=MAX_STEPS, description="the longest published schedule has 1,520,000 steps"),
]
BatchSize = Annotated[
    int,
    Field(
        ge=2,
        le=MAX_BATCH,
        description="published batches have 2 to 128 images; one image has no batch statistics",
    ),
]
Width = Annotated[
    int, Field(ge=1, le=MAX_WIDTH, description="the widest published layer here has 512 channels")
]
Depth = Annotated[
    int, Field(ge=1, le=64, description="the deepest published level here has 28 blocks")
]
Weight = Annotated[
    float, Field(ge=0, le=1e6, description="published weights of losses go up to 100")
]
LearningRate = Annotated[
    float,
    Field(
        ge=1e-8,
        le=1,
        description="published rates lie between 1e-6 and 2e-3; Adam moves weights by the rate",
    ),
]
Clip = Annotated[
    float, Field(ge=1e-6, le=1e6, description="published bounds of gradients lie at 0.01 and 1")
]
Decay = Annotated[
    float, Field(ge=0, le=0.99999, description="an average over at most 100,000 steps")
]
Share = Annotated[float, Field(ge=0, le=1, description="a share of a whole")]
GreyLevels = Annotated[
    float, Field(ge=0, le=255, description="an 8-bit picture has 255 steps from black to white")
]
Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_name)]
Source = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_source)]
Place = Annotated[str, Field(min_length=1, max_length=4095), AfterValidator(_place)]
