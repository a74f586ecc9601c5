"""Profiles: ``base.yaml`` holds the paper's values, each profile only its differences."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dfpg.config import PARAMS, Config, parse_config
from dfpg.errors import UserError
from dfpg.files import write_text

NAMES = ("smoke", "embedded", "research", "paper")


def _yaml() -> YAML:
    """Reads and writes with comments; writes null as ``null``."""
    yaml = YAML()
    yaml.width = 200
    yaml.representer.add_representer(
        type(None),
        lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"),
    )
    return yaml


def _read(name: str) -> Any:
    return _yaml().load(files("dfpg.profiles").joinpath(f"{name}.yaml").read_text())


def _merge(target: Any, changes: Any, where: str) -> None:
    for key, value in changes.items():
        if key not in target:
            raise UserError(f"{where}: {key}: unknown key: base.yaml has no such value")
        if isinstance(value, dict):
            _merge(target[key], value, f"{where}: {key}")
        else:
            target[key] = value


def resolve_profile(name: str) -> tuple[Config, str]:
    """Resolve a profile.

    Returns:
        The validated configuration, and the text for ``params.yaml`` with base.yaml's comments.

    Raises:
        UserError: unknown profile, or a profile that sets an unknown key.
    """
    if name not in NAMES:
        raise UserError(f"profile {name!r} is unknown: use one of {', '.join(NAMES)}")
    merged = _read("base")
    _merge(merged, _read(name), f"profile {name}")
    stream = io.StringIO()
    _yaml().dump(merged, stream)
    text = stream.getvalue()
    return parse_config(YAML(typ="safe", pure=True).load(text), Path(f"profile {name}")), text


def describe_profile(name: str) -> str:
    """First lines of a profile: what it is for, what it needs, how long it takes."""
    text = files("dfpg.profiles").joinpath(f"{name}.yaml").read_text()
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    return "\n".join(lines)


def use_profile(name: str, path: Path = PARAMS) -> Config:
    """Write a profile's resolved values into ``params.yaml``; see :func:`resolve_profile`."""
    config, text = resolve_profile(name)
    write_text(path, text)
    return config
