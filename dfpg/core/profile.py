"""Profiles: ``base.yaml`` holds the paper's values, each profile only its differences.

A profile's ``based_on`` names another one whose differences come first.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from ruamel.yaml import YAML

from dfpg.core.config import PARAMS, Config, FaceSource, load_yaml, parse_config
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.installation import refuse_other_copy

NAMES = ("smoke", "embedded", "gpu", "research", "paper", "shipped")
EMBEDDED = "embedded"


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
    if name not in ("base", *NAMES):
        raise UserError(f"profile {name!r} is unknown: use one of {', '.join(NAMES)}")
    return _yaml().load(files("dfpg.core.profiles").joinpath(f"{name}.yaml").read_text())


def _merge(target: Any, changes: Any, where: str) -> None:
    for key, value in changes.items():
        if key not in target:
            raise UserError(f"{where}: {key}: unknown key: base.yaml has no such value")
        if isinstance(value, dict):
            _merge(target[key], value, f"{where}: {key}")
        else:
            target[key] = value


def _merged(name: str) -> Any:
    changes = _read(name)
    base = changes.pop("based_on", None)
    merged = _merged(base) if base else _read("base")
    _merge(merged, changes, f"profile {name}")
    return merged


def _resolved(name: str, values: Any) -> tuple[Config, str]:
    stream = io.StringIO()
    _yaml().dump(values, stream)
    text = stream.getvalue()
    return parse_config(YAML(typ="safe", pure=True).load(text), Path(f"profile {name}")), text


def resolve_profile(name: str) -> tuple[Config, str]:
    """Resolve a profile.

    Returns:
        The validated configuration, and the text for ``params.yaml`` with base.yaml's comments.

    Raises:
        UserError: unknown profile, or a profile that sets an unknown key.
    """
    return _resolved(name, _merged(name))


def describe_profile(name: str) -> str:
    """First lines of a profile: what it is for, what it needs, how long it takes."""
    text = files("dfpg.core.profiles").joinpath(f"{name}.yaml").read_text()
    lines = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    return "\n".join(lines)


def use_profile(
    name: str,
    path: Path = PARAMS,
    faces: Sequence[str] = (),
    slots: Sequence[str] = (),
) -> list[str]:
    """Write a profile's resolved values into ``params.yaml``; see :func:`resolve_profile`.

    Folders that the old file names are kept, and so are methods' blocks and runs that the user
    added, and sources in the test sets' slots where they are the user's own and the profile does
    not use the embedded faces there.

    Args:
        name: of the profile.
        path: file to write.
        faces: ``source=FOLDER``, or for a source that no profile has ``source=READER:FOLDER``.
        slots: ``PROTOCOL.SUBSET=source``, e.g. ``b.ffhq=portraits``.

    Returns:
        A sentence on everything that the old file or the arguments added to the profile, or that
        the old file had and the new one has not.

    Raises:
        UserError: an unknown profile, source, reader or slot; or the file is one of a clone of
            another version.
    """
    refuse_other_copy(path)
    values = _merged(name)
    notes = _keep(values, path)
    for given in faces:
        notes.append(_set_folder(values, given))
    for given in slots:
        notes.append(_set_slot(values, given))
    write_text(path, _resolved(name, values)[1])
    return notes


def _keep(values: Any, path: Path) -> list[str]:
    """Carry folders and own slots over from the file that will be replaced."""
    if not path.exists():
        return []
    try:
        old = load_yaml(path)
        own_values = _own_values(old)
        sources = {key: source for key, source in old["faces"].items() if source["path"]}
        subsets = {
            (protocol, subset): settings["source"]
            for protocol, section in old["protocols"].items()
            for subset, settings in section["test"]["subsets"].items()
        }
    except (UserError, KeyError, TypeError, AttributeError):
        return [f"the old {path} could not be read: folders that it named are not kept"]
    profile_sources = set(values["faces"])
    notes = []
    for key, source in sources.items():
        own = values["faces"].setdefault(key, dict(source))
        if own["reader"] != source["reader"]:
            notes.append(f"not kept: faces.{key} <- {source['path']}: read as {source['reader']}")
            continue
        notes.append(_set_folder(values, f"{key}={source['reader']}:{source['path']}", "kept"))
    for (protocol, subset), source in subsets.items():
        if source in profile_sources or source == EMBEDDED or source not in values["faces"]:
            continue
        slot = f"{protocol}.{subset}"
        if values["protocols"][protocol]["test"]["subsets"][subset]["source"] == EMBEDDED:
            notes.append(f"not kept: slot {slot} <- {source}: this profile's is {EMBEDDED}")
        else:
            notes.append(_set_slot(values, f"{slot}={source}", "kept"))
    notes += _keep_blocks(values, old)
    lost = [note for where, note in own_values.items() if note != _flat(values).get(where)]
    return notes + [f"not kept: {note}" for note in lost]


def _keep_blocks(values: Any, old: Any) -> list[str]:
    """Carry over what the user added: blocks of methods, and runs, that the old profile lacks."""
    usual = _merged(old["profile"])
    notes = []
    for section in ("methods", "runs"):
        for name, block in old[section].items():
            if name not in usual[section] and name not in values[section]:
                values[section][name] = block
                notes.append(f"kept: {section}.{name}")
    return notes


def _own_values(old: Any) -> dict[tuple[str, ...], str]:
    """What a file has and its own profile has not, but for folders and slots, by its place."""
    usual = _flat(_merged(old["profile"]))
    return {
        where: note
        for where, note in _flat(old).items()
        if note != usual.get(where)
        and not (where[0] == "faces" and where[-1] in ("path", "reader"))
        and not ("subsets" in where and where[-1] == "source")
    }


def _flat(values: Any, where: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """``place: value`` of everything in nested mappings, by its place."""
    if not isinstance(values, dict) or not values:
        return {where: f"{'.'.join(where)}: {values}"}
    return {
        place: note
        for key, value in values.items()
        for place, note in _flat(value, (*where, str(key))).items()
    }


def _set_folder(values: Any, given: str, verb: str = "set") -> str:
    key, _, place = given.partition("=")
    readers = get_args(FaceSource.model_fields["reader"].annotation)
    reader, colon, folder = place.partition(":")
    if not colon or reader not in readers:
        reader, folder = "", place
    if not key or not folder:
        raise UserError(f"--faces {given}: write SOURCE=FOLDER or SOURCE=READER:FOLDER")
    if key not in values["faces"] and not reader:
        known = ", ".join(values["faces"])
        raise UserError(
            f"--faces {given}: {key!r} is none of {known}: to add a source of your own write "
            f"{key}=READER:{folder} with a reader of {', '.join(readers)}"
        )
    source = values["faces"].setdefault(key, {"reader": reader, "path": None, "train": None})
    if reader and source["reader"] != reader:
        raise UserError(
            f"--faces {given}: {key} is read as {source['reader']}: name other pictures otherwise"
        )
    source["path"] = folder
    return f"{verb}: faces.{key} <- {folder}"


def _set_slot(values: Any, given: str, verb: str = "set") -> str:
    slot, _, source = given.partition("=")
    protocol, _, subset = slot.partition(".")
    subsets = values["protocols"].get(protocol, {"test": {"subsets": {}}})["test"]["subsets"]
    if subset not in subsets:
        known = [f"{p}.{s}" for p, v in values["protocols"].items() for s in v["test"]["subsets"]]
        raise UserError(f"--slot {given}: no slot {slot!r}: use one of {', '.join(known)}")
    if source not in (EMBEDDED, *values["faces"]):
        known = [EMBEDDED, *values["faces"]]
        raise UserError(f"--slot {given}: no source {source!r}: use one of {', '.join(known)}")
    subsets[subset]["source"] = source
    return f"{verb}: slot {slot} <- {source}"
