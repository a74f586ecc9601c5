"""Every key of params.yaml set to what nobody means: one line, or a value that works."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from helpers.counts import count
from helpers.mutations import NEVER, Place, at, changed, mutants, outcome, places
from helpers.places import ROOT
from pydantic import ValidationError

from dfpg.core.config import Config, Frozen, load_yaml
from dfpg.core.errors import UserError
from dfpg.methods.names import method_names
from dfpg.methods.registry import method_class


@pytest.fixture(scope="module")
def params() -> dict[str, Any]:
    return load_yaml(ROOT / "params.yaml")


def check_line(line: str, place: Place) -> None:
    assert line.isprintable(), line
    assert len(line) < 400, line
    assert str(place[0]) in line


def parts(params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The parameters with one run and its method's block: the same keys, checked in a tenth.

    Every method has a part, and every further run that sets what those before it do not.
    """
    seen: set[tuple[str, Place]] = set()
    for name, run in params["runs"].items():
        keys = {(run["method"], place) for place in places(run)}
        if not keys <= seen:
            seen |= keys
            block = params["methods"][run["method"]]
            # Nothing reads the method's value of an option that its only run sets itself.
            used = {key: value for key, value in block.items() if key not in run["options"]}
            yield params | {"runs": {name: run}, "methods": {run["method"]: used}}


def walk(cases: Iterable[tuple[str, Place, dict[str, Any]]]) -> int:
    """Check the outcome of every mutant; returns how many are refused."""
    refused = accepted = 0
    for name, place, data in cases:
        found = outcome(data)
        if isinstance(found, str):
            check_line(found, place)
            refused += 1
            continue
        accepted += 1
        assert name.split()[0] not in NEVER, f"{place}: {name} is accepted"
        # A new entry of a mapping of the user's own is no unknown key.
        assert name != "unknown" or place[-1] in ("options",), f"{place}: {name} is accepted"
    count("malformed parameters", refused + accepted, f"{refused} refused, each in one line")
    return refused


def test_no_key_takes_what_nobody_means(params: dict[str, Any]) -> None:
    first, *others = parts(params)
    assert {r["method"] for p in (first, *others) for r in p["runs"].values()} == {
        run["method"] for run in params["runs"].values()
    }
    own = (case for part in others for case in mutants(part) if case[1][0] in ("runs", "methods"))
    assert walk(chain(mutants(first), own)) > 5000, "the walk must reach every key"


@pytest.mark.slow
def test_no_key_of_the_whole_file_takes_what_nobody_means(params: dict[str, Any]) -> None:
    assert walk(mutants(params)) > 9000, "the walk must reach every key"


SUBSET = {"source": "embedded", "crop": None}
OWN = ("faces", "subsets", "runs", "components")  # mappings whose keys the user chooses


# Values that an attack found to pass, by the last keys of their places; all places are tried.
FOUND: dict[tuple[str, ...], list[Any]] = {
    ("noise",): [math.inf, 1e30],
    ("crop",): [1e-9],
    ("subsets",): [{}, {"": SUBSET}, {"../x": SUBSET}],
    ("modes",): [[], ["center", "center"]],
    ("protocols",): [{}],
    ("seed",): [-1, 10**30],
    ("expansion",): [math.inf],
    ("discriminator_scales",): [10],
    ("surrogate", "size"): [1, 31],
    ("prior", "source"): ["embedded+embedded"],
    ("batch_size",): [1_000_000_000],
    ("training", "batch_size"): [1],
    ("surrogate", "batch_size"): [1, 1_000_000],
    ("image_size",): [100_000],
    ("parsing_size",): [1_000_000],
    ("width",): [1_000_000],
    ("latent",): [10_000_000],
    ("steps",): [1e30, 10**30],
    ("spline", "train"): [1e30, 10**30],
}


@pytest.mark.parametrize("key", FOUND, ids=".".join)
def test_what_an_attack_found_to_pass_is_refused(params: dict[str, Any], key: Place) -> None:
    found = [place for place in places(params) if place[-len(key) :] == key]
    assert found
    for place in found:
        for value in FOUND[key]:
            line = outcome(changed(params, place, value))
            assert isinstance(line, str), f"{place}: {value!r} is accepted"
            check_line(line, place)
            assert place[-1] in line


def test_every_misspelt_key_is_refused(params: dict[str, Any]) -> None:
    tried = 0
    for place in places(params):
        if isinstance(place[-1], int) or (len(place) > 1 and place[-2] in OWN):
            continue
        section = dict(at(params, place[:-1]))
        section[f"{place[-1]}{place[-1][-1]}"] = section.pop(place[-1])
        line = outcome(changed(params, place[:-1], section))
        assert isinstance(line, str), place
        check_line(line, place)
        tried += 1
    assert tried > 250


def test_every_key_named_twice_in_the_file_is_refused(tmp_path: Path) -> None:
    """A mapping in memory cannot hold a key twice, so each is repeated in its section's text."""
    text = (ROOT / "params.yaml").read_text().splitlines()
    path = tmp_path / "params.yaml"
    tried = section = 0
    for number, line in enumerate(text):
        if not line.startswith((" ", "#")):
            section = number
        key, colon, rest = line.partition(":")
        if not colon or key.lstrip().startswith("#") or not rest.split("#")[0].strip():
            continue
        path.write_text("\n".join([*text[section : number + 1], f"{key}: 1"]))
        with pytest.raises(UserError, match=rf'duplicate key "{key.strip()}"') as caught:
            load_yaml(path)
        assert str(caught.value).isprintable()
        tried += 1
    assert tried > 20


def test_a_misspelt_key_is_named_with_the_right_one(params: dict[str, Any]) -> None:
    """Case 18."""
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
    options = {f"methods.{name}": method_class(name).Options for name in method_names()}
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
