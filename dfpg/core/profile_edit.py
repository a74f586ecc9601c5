"""Write chosen values into ``params.yaml`` and into the profile that it is of."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from dfpg.core.config import PARAMS, load_config, parse_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.profile import yaml_with_comments

BY_POWER = 0.05  # numbers below are written with a power of ten
Changes = Mapping[tuple[str, ...], float]  # place -> value


def set_values(changes: Changes, path: Path = PARAMS, profiles: Path | None = None) -> str:
    """Write values into ``params.yaml`` and, as its profile's own, into the profile's file.

    Comments stay. Nothing is written where one of the values is not valid.

    Args:
        changes: new values by their place, ``("runs", "b1", "lr")``.
        path: the parameters in use.
        profiles: folder of the profiles; None: the suite's own.

    Returns:
        What was written where.

    Raises:
        UserError: a place that ``params.yaml`` does not have, or a value that it may not have.
    """
    profile = load_config(path).profile
    folder = profiles or Path(str(files("dfpg.core.profiles")))
    target = folder / f"{profile}.yaml"
    texts = {}
    for file in (path, target):
        yaml = yaml_with_comments()
        values = yaml.load(file.read_text(encoding="utf-8"))
        for place, value in changes.items():
            _set(values, place, value, file if file == path else None)
        stream = io.StringIO()
        yaml.dump(values, stream)
        texts[file] = stream.getvalue()
    parse_config(YAML(typ="safe", pure=True).load(texts[path]), path)
    for file, text in texts.items():
        write_text(file, text)
    return f"{len(changes)} values written into {path} and {target}"


def _set(values: Any, place: tuple[str, ...], value: float, known_in: Path | None) -> None:
    """Set one value; a place that a profile lacks is made, one that ``known_in`` lacks an error."""
    *sections, key = place
    for section in sections:
        if section not in values:
            if known_in:
                raise UserError(f"{known_in}: {'.'.join(place)}: no such key")
            values[section] = CommentedMap()
            if section == sections[-1]:  # the innermost stands in one line, as in the profiles
                values[section].fa.set_flow_style()
        values = values[section]
    if known_in and key not in values:
        raise UserError(f"{known_in}: {'.'.join(place)}: no such key")
    values[key] = value if isinstance(value, int) else _yaml_number(value)


def _yaml_number(value: float) -> Any:
    """A number as the profiles have it: 2.5, or 1.0e-3 where it is small."""
    digits, _, exponent = (f"{value:.3e}" if value < BY_POWER else f"{value:.6g}").partition("e")
    digits = f"{float(digits):g}"
    digits = digits if "." in digits else f"{digits}.0"
    return YAML().load(f"{digits}e{int(exponent)}" if exponent else digits)
