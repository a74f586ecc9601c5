"""Every key of params.yaml set to what nobody means: one line, or a value that works."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.counts import count
from helpers.places import ROOT
from pydantic import ValidationError

from dfpg.core.config import Config, Frozen, load_yaml, parse_config
from dfpg.core.errors import UserError
from dfpg.methods.registry import METHODS, check_options

FILE = Path("params.yaml")
Place = tuple[str | int, ...]

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


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    return load_yaml(ROOT / "params.yaml")


def check_line(line: str, place: Place) -> None:
    assert line.isprintable(), line
    assert len(line) < 400, line
    assert str(place[0]) in line


def mutants(params: dict[str, Any]) -> Iterator[tuple[str, Place, dict[str, Any]]]:
    """What was done, where, and the whole of params.yaml then."""
    for place in places(params):
        value = at(params, place)
        for name, wrong in WRONG.items():
            if not (type(wrong) is type(value) and wrong == value):
                yield name, place, changed(params, place, wrong)
        if isinstance(value, list):
            yield "named twice", place, changed(params, place, value + value)
        if isinstance(value, str):
            yield "named twice", place, changed(params, place, f"{value}+{value}")
        if isinstance(value, dict):
            yield "unknown", place, changed(params, (*place, "unknwon"), 1)


def test_no_key_takes_what_nobody_means(params: dict[str, Any]) -> None:
    refused = accepted = 0
    for name, place, data in mutants(params):
        found = outcome(data)
        if isinstance(found, str):
            check_line(found, place)
            refused += 1
            continue
        accepted += 1
        assert name.split()[0] not in NEVER, f"{place}: {name} is accepted"
        # A new entry of a mapping of the user's own is no unknown key.
        assert name != "unknown" or place[-1] in ("options",), f"{place}: {name} is accepted"
    assert refused > 5000, "the walk must reach every key"
    count("malformed parameters", refused + accepted, f"{refused} refused, each in one line")


OWN = ("faces", "subsets", "runs", "components")  # mappings whose keys the user chooses


def test_every_misspelt_key_is_refused(params: dict[str, Any]) -> None:
    tried = 0
    for place in places(params):
        if isinstance(place[-1], int) or (len(place) > 1 and place[-2] in OWN):
            continue
        section = dict(at(params, place[:-1])) if place[:-1] else dict(params)
        section[f"{place[-1]}{place[-1][-1]}"] = section.pop(place[-1])
        data = changed(params, place[:-1], section) if place[:-1] else section
        line = outcome(data)
        assert isinstance(line, str), place
        check_line(line, place)
        tried += 1
    assert tried > 250


def test_every_key_named_twice_in_the_file_is_refused(tmp_path: Path) -> None:
    """Over every seventh line of the file: a mapping in memory cannot hold a key twice."""
    text = (ROOT / "params.yaml").read_text().splitlines()
    path = tmp_path / "params.yaml"
    tried = 0
    for number, line in list(enumerate(text))[::7]:
        key, colon, rest = line.partition(":")
        if not colon or key.lstrip().startswith("#") or not rest.split("#")[0].strip():
            continue
        path.write_text("\n".join([*text[: number + 1], f"{key}: 1"]))
        with pytest.raises(UserError, match=rf'duplicate key "{key.strip()}"') as caught:
            load_yaml(path)
        assert str(caught.value).isprintable()
        tried += 1
    assert tried > 20


def test_a_misspelt_key_is_named_with_the_right_one(params: dict[str, Any]) -> None:
    run = dict(params["runs"]["b1"])
    run["lrr"] = run.pop("lr")
    line = outcome(changed(params, ("runs", "b1"), run))
    assert line == "params.yaml: runs.b1.lrr: unknown key lrr; did you mean lr?"


def test_a_misspelt_option_is_named_with_the_right_one(params: dict[str, Any]) -> None:
    line = outcome(changed(params, ("methods", "nafnet", "widht"), 8))
    assert line == (
        "params.yaml: methods.nafnet.widht: unknown key widht; did you mean width? "
        "(for runs.nafnet)"
    )
    line = outcome(changed(params, ("runs", "b1", "options", "widht"), 8))
    assert line == "params.yaml: runs.b1.options.widht: unknown key widht; did you mean width?"


def test_a_block_of_no_method_is_refused(params: dict[str, Any]) -> None:
    line = outcome(changed(params, ("methods", "nafnett"), params["methods"]["nafnet"]))
    assert "methods.nafnett: unknown method 'nafnett'" in line


def models() -> dict[str, type[Frozen]]:
    options = {f"methods.{name}": entry.method.Options for name, entry in METHODS.items()}
    return {"params.yaml": Config, **options}


def unbounded(schema: Any, where: str) -> Iterator[str]:
    """Places of a JSON schema that admit values without end, or do not say why they end there."""
    kinds = {
        "integer": ("minimum", "maximum"),
        "number": ("minimum", "maximum"),
        "string": ("minLength", "maxLength"),
        "array": ("minItems", "maxItems"),
    }
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from unbounded(part, f"{where}[{number}]")
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if isinstance(kind, str) and kind in kinds and "enum" not in schema and "const" not in schema:
        for bound in kinds[kind]:
            if not {bound, f"exclusive{bound.capitalize()}"} & set(schema):
                yield f"{where}: no {bound}"
        if kind in ("integer", "number") and "description" not in schema:
            yield f"{where}: no reason"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        if "maxProperties" not in schema:
            yield f"{where}: no maxProperties"
        if "propertyNames" not in schema:
            yield f"{where}: any names"
    for key, part in schema.items():
        if key not in ("default", "enum", "const"):
            yield from unbounded(part, f"{where}.{key}")


@pytest.mark.parametrize("name", list(models()))
def test_the_schema_bounds_every_value_and_says_why(name: str) -> None:
    schema = models()[name].model_json_schema()
    assert list(unbounded(schema, name)) == []


@pytest.mark.parametrize("name", list(models()))
def test_every_model_inside_is_strict(name: str) -> None:
    def inside(model: Any) -> Iterator[type[Frozen]]:
        if isinstance(model, type) and issubclass(model, Frozen):
            yield model
            for field in model.model_fields.values():
                yield from inside(field.annotation)
        for part in getattr(model, "__args__", ()):
            yield from inside(part)

    for model in inside(models()[name]):
        settings = model.model_config
        assert settings["extra"] == "forbid"
        assert settings["strict"]
        assert settings["allow_inf_nan"] is False
        with pytest.raises(ValidationError, match="unknown key"):
            model.model_validate({"no such key": 1})
