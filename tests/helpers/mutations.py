"""Values that nobody means, put at every place of params.yaml."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dfpg.core.config import Config, parse_config
from dfpg.core.errors import UserError
from dfpg.methods.registry import check_options

Place = tuple[str | int, ...]
FILE = Path("params.yaml")

WRONG: dict[str, Any] = {
    "null": None,
    "negative": -1,
    "negative float": -0.5,
    "zero": 0,
    "zero float": 0.0,
    "huge": 10**30,
    "huge float": 1e30,
    "longer than Python prints": 10**5000,
    "inf": math.inf,
    "-inf": -math.inf,
    "nan": math.nan,
    "text": "text",
    "empty text": "",
    "long text": "x" * 100_000,
    "control characters": "a\x1b[2J\nb\x00",
    "a way out": "../../x",
    "empty list": [],
    "empty mapping": {},
    "true": True,
    "a list": [1],
    "a mapping": {"a": 1},
}
NEVER = ("negative", "huge", "longer", "inf", "-inf", "nan", "control")  # right for no key at all
SMALL: dict[str, Any] = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "eight": 8,
    "36": 36,
    "one float": 1.0,
    "a millionth": 1e-6,
    "nearly one": 0.99999,
}


def places(data: Any, here: Place = ()) -> Iterator[Place]:
    """Every section, key and list item."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield (*here, key)
        if isinstance(value, dict | list):
            yield from places(value, (*here, key))


def at(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data


def changed(data: Any, place: Place, value: Any) -> Any:
    """A copy with one value replaced; what does not change is shared."""
    if not place:
        return value
    made = copy.copy(data)
    made[place[0]] = value if len(place) == 1 else changed(data[place[0]], place[1:], value)
    return made


def outcome(data: dict[str, Any]) -> Config | str:
    """The configuration, or the line that refuses it."""
    try:
        config = parse_config(data, FILE)
        check_options(config)
    except UserError as error:
        return str(error)
    return config


def mutants(
    params: dict[str, Any], values: Mapping[str, Any] = WRONG
) -> Iterator[tuple[str, Place, dict[str, Any]]]:
    """What was done, where, and the whole of params.yaml then."""
    for place in places(params):
        value = at(params, place)
        for name, wrong in values.items():
            if not (type(wrong) is type(value) and wrong == value):
                yield name, place, changed(params, place, wrong)
        if isinstance(value, list):
            yield "named twice", place, changed(params, place, value + value)
        if isinstance(value, str):
            yield "named twice", place, changed(params, place, f"{value}+{value}")
        if isinstance(value, dict):
            yield "unknown", place, changed(params, (*place, "unknwon"), 1)
