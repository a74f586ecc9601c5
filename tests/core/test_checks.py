"""Modules that no closure counts decide no result."""

from __future__ import annotations

import ast
import importlib
import sys
import typing
from pathlib import Path
from types import FunctionType, UnionType
from typing import Any

import pytest
from pydantic import BaseModel

from dfpg.core.closure import CHECKS, FOLDER, PACKAGE, closure
from dfpg.core.config import Config, load_config, load_yaml
from dfpg.core.profile import NAMES, resolve_profile
from dfpg.core.schedule import Schedule
from dfpg.stages.code import STAGES

# What these modules may import beside each other: nothing that can compute a picture or a number.
HARMLESS = {"grimp", "packaging", "pydantic", "pydantic_core", "ruamel", "tqdm"}
# Places and bounds; a function's result is what it was given, a line of text, or a refusal.
VALUES = {"PARAMS", "MAX_SIDE"}
FUNCTIONS = {
    "absent_column",
    "accept_any_text",
    "check_runs",
    "closure",
    "digest",
    "first_problem",
    "flush_output",
    "key_path",
    "old_column",
    "renamed_hook",
    "renamed_import",
    "load_config",
    "print_error",
    "validation_message",
    "file_digests",
    "needs_registry",
    "unknown_metric",
    "within_memory",
    "error_line",
    "os_error_line",
    "advice",
    "lacks_memory",
    "requested_memory",
    "protocol_name",
    "load_yaml",
    "parse_config",
    "escape_text",
    "file_error",
    "say",
    "to_ascii",
    "escape_character",
    "unknown_run",
    "no_utf8_line",
    "missing_library_line",
    "shorten",
}


def imports(path: Path) -> list[tuple[str, str]]:
    """Module and name of everything that a file imports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "", alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return found


def path_of(module: str) -> Path:
    return FOLDER.joinpath(*module.split(".")[1:]).with_suffix(".py")


@pytest.mark.parametrize("module", sorted(CHECKS))
def test_they_import_nothing_that_computes(module):
    allowed = sys.stdlib_module_names | HARMLESS | {PACKAGE}
    assert {name.partition(".")[0] for name, _ in imports(path_of(module))} <= allowed


@pytest.mark.parametrize("stage", sorted(set(STAGES) - {"code"}))
def test_a_closure_leaves_them_out_and_counts_what_they_import(stage):
    found = set(closure(f"dfpg.stages.{stage}"))
    assert not found & {path_of(module) for module in CHECKS}
    if path_of("dfpg.core.derived") not in found:
        assert stage == "fetch"  # reads no parameters
        return
    assert path_of("dfpg.core.schedule") in found


def test_others_take_no_value_from_them_that_a_result_could_depend_on():
    """What stages import from there are types, refusals, or functions named above."""
    modules = [f"dfpg.stages.{stage}" for stage in STAGES if stage != "code"]
    files = {*closure(*modules), *(FOLDER / "methods").glob("*.py")}
    taken = {
        (module, name)
        for path in files
        if path.suffix == ".py"
        for module, name in imports(path)
        if module in CHECKS
    }
    assert len(taken) > 15
    for module, name in sorted(taken):
        value = getattr(importlib.import_module(module), name)
        home = getattr(value, "__module__", module)
        if is_type(value) or name in VALUES or (module, name) in RE_EXPORTED:
            continue
        assert isinstance(value, FunctionType), f"{module}.{name} is a value: move it"
        assert name in FUNCTIONS or home not in CHECKS, f"{module}.{name}"


RE_EXPORTED = {("dfpg.core.config", name) for name in ("NOMINAL_SIZES", "REFERENCE_SIZE")}


def test_sizes_are_not_defined_where_parameters_are_checked():
    config, derived = (importlib.import_module(f"dfpg.core.{m}") for m in ("config", "derived"))
    for module, name in RE_EXPORTED:
        assert module == "dfpg.core.config"
        assert getattr(config, name) is getattr(derived, name)
        assert (("dfpg.core.derived", name)) in imports(path_of(module))


def is_type(value: Any) -> bool:
    """A class (model, exception, progress bar) or a type with its bounds."""
    return isinstance(value, type | UnionType) or typing.get_origin(value) is not None


@pytest.mark.parametrize("name", NAMES)
def test_values_leave_the_check_as_they_stand_in_the_file(tmp_path, name):
    """So a stage's parameters say all that its configuration can."""
    config, text = resolve_profile(name)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    assert load_config(path) == config
    assert config.model_dump(mode="json", exclude_unset=True) == load_yaml(path)


def models(kind: Any, seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """All models that a type is made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
        seen.add(kind)
        for field in kind.model_fields.values():
            models(field.annotation, seen)
    for part in typing.get_args(kind):
        models(part, seen)
    return seen


def test_no_default_decides_what_the_file_leaves_open():
    """None says that nothing is given; what then holds is decided in a module that counts.

    An option is off unless the file names it, and then not among the parameters.
    """
    found = models(Config, set())
    assert len(found) > 15
    for model in found - {Schedule}:  # dfpg.core.schedule counts
        for name, field in model.model_fields.items():
            option = field.default is False and field.exclude_if is not None
            nothing = field.default is None
            assert field.is_required() or nothing or option, f"{model.__name__}.{name}"
            assert field.default_factory is None
