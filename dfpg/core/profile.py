"""Profiles: ``base.yaml`` holds the paper's values, each profile only its differences.

A profile's ``based_on`` names another one whose differences come first. ``runs: {NAME: null}``
leaves a run out; its rows say so. ``official`` trains
nothing: its runs are those that are given published weights.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from ruamel.yaml import YAML

from dfpg.core.config import PARAMS, Config, FaceSource, load_yaml, parse_config, unknown_run
from dfpg.core.errors import UserError
from dfpg.core.files import write_text
from dfpg.core.installation import refuse_other_copy

NAMES = ("smoke", "embedded", "photographs", "gpu", "research", "paper", "shipped", "official")
EMBEDDED = "embedded"
OFFICIAL = "official"


def yaml_with_comments() -> YAML:
    """Reads and writes with comments; writes null as ``null``."""
    yaml = YAML()
    yaml.width = 200
    yaml.representer.add_representer(
        type(None),
        lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"),
    )
    return yaml


def _read(name: str | None) -> Any:
    return deepcopy(_read_once(name))  # callers write into it


@cache
def _read_once(name: str | None) -> Any:
    if name not in ("base", *NAMES):
        raise UserError(f"profile {name!r} is unknown: use one of {', '.join(NAMES)}")
    return yaml_with_comments().load(
        files("dfpg.core.profiles").joinpath(f"{name}.yaml").read_text()
    )


def _merge(target: Any, changes: Any, where: str, new: bool = False) -> None:
    """Write changes into a profile; ``new``: they may set what it does not have, too."""
    for key, value in changes.items():
        if key not in target and not new:
            raise UserError(f"{where}: {key}: unknown key: base.yaml has no such value")
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            # A run's options are its method's, which base.yaml says once, for all runs.
            _merge(target[key], value, f"{where}: {key}", new=key == "options")
        elif value is None and isinstance(target.get(key), dict):
            del target[key]
        else:
            target[key] = value


def _read_with_base(name: str | None) -> Any:
    changes = _read(name)
    base = changes.pop("based_on", None)
    merged = _read_with_base(base) if base else _read("base")
    _merge(merged, changes, f"profile {name}")
    return merged


def _resolve(where: str, values: Any) -> tuple[Config, str]:
    """The configuration that values are, and their text; ``where`` names them in errors."""
    stream = io.StringIO()
    yaml_with_comments().dump(values, stream)
    text = stream.getvalue()
    return parse_config(YAML(typ="safe", pure=True).load(text), Path(where)), text


def resolve_profile(name: str) -> tuple[Config, str]:
    """Resolve a profile.

    Returns:
        The validated configuration, and the text for ``params.yaml`` with base.yaml's comments.

    Raises:
        UserError: unknown profile, or a profile that sets an unknown key.
    """
    config, text = _resolve_once(name)
    return config.model_copy(deep=True), text  # its dictionaries can be written into


@cache
def _resolve_once(name: str) -> tuple[Config, str]:
    return _resolve(f"profile {name}", _read_with_base(name))


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
    weights: Sequence[str] = (),
) -> list[str]:
    """Write a profile's resolved values into ``params.yaml``; see :func:`resolve_profile`.

    Folders that the old file names are kept, and so are methods' blocks and runs that the user
    added, and sources in the test sets' slots where they are the user's own and the profile does
    not use the embedded faces there. The profile ``official`` also keeps the weights that runs of
    the old file take.

    Args:
        name: of the profile.
        path: file to write.
        faces: ``source=FOLDER``, or for a source that no profile has ``source=READER:FOLDER``.
        slots: ``PROTOCOL.SUBSET=source``, e.g. ``b.ffhq=portraits``.
        weights: ``RUN=PATH`` of published weights, e.g. ``xia2019=iter_190000.model.npz``.

    Returns:
        A sentence on everything that the old file or the arguments added to the profile, or that
        the old file had and the new one has not.

    Raises:
        UserError: an unknown profile, source, reader, slot or run; ``official`` without weights;
            the old file is no YAML; a method's block or a run that the user added is not valid; or
            the file is one of a clone of another version. The file stays as it was.
    """
    refuse_other_copy(path)
    if not path.exists() and not (faces or slots or weights) and name != OFFICIAL:
        write_text(path, resolve_profile(name)[1])
        return []
    values = _read_with_base(name)
    notes = _keep(values, path)
    for given in faces:
        notes.append(_set_folder(values, given))
    for given in slots:
        notes.append(_set_slot(values, given))
    for given in weights:
        notes.append(_set_weights(values, given))
    if name == OFFICIAL:
        _drop_untrained(values)
    write_text(path, _resolve(str(path), values)[1])
    return notes


def _keep(values: Any, path: Path) -> list[str]:
    """Carry over what is the user's own in the file that will be replaced."""
    if not path.exists():
        return []
    try:
        old = load_yaml(path)
    except UserError as error:  # what the user wrote there would be lost
        raise UserError(f"{error}: correct the old file, or remove it, and repeat") from error
    kept = _keep_blocks(values, path)
    try:
        sources = {key: source for key, source in old["faces"].items() if source["path"]}
        subsets = {
            (protocol, subset): settings["source"]
            for protocol, section in old["protocols"].items()
            for subset, settings in section["test"]["subsets"].items()
        }
        weights = {run: s["weights"] for run, s in old["runs"].items() if s.get("weights")}
    except (KeyError, TypeError, AttributeError):
        return [*kept, f"the old {path} lacks sections: folders that it named are not kept"]
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
    if values["profile"] == OFFICIAL:
        for run in (run for run in values["runs"] if run in weights):
            notes.append(_set_weights(values, f"{run}={weights[run]}", "kept"))
    return notes + kept + _describe_losses(values, old)


def _keep_blocks(values: Any, path: Path) -> list[str]:
    """Carry over methods' blocks and runs that the user added, as they are written."""
    old, base = yaml_with_comments().load(path.read_text(encoding="utf-8")), _read("base")
    notes = []
    for section in ("methods", "runs"):
        blocks = old.get(section)
        names = list(blocks) if isinstance(blocks, dict) else []
        own = [name for name in names if name not in base[section]]
        if section == "runs" and values["profile"] == OFFICIAL:  # which trains nothing
            own = [name for name in own if blocks[name].get("weights")]
        for name in reversed(own):
            _trim_comment(blocks, name)
            values[section].insert(0, name, blocks[name])
            if name in blocks.ca.items:
                values[section].ca.items[name] = blocks.ca.items[name]
        notes += [f"kept: {section}.{name}" for name in own]
    return notes


def _trim_comment(mapping: Any, key: Any) -> None:
    """Take off what is written below an entry: it belongs to what comes next in its file."""
    place = 2 if isinstance(mapping, dict) else 0
    comments = mapping.ca.items.get(key)
    if comments and len(comments) > place and comments[place]:
        line = comments[place].value.partition("\n")[0]
        comments[place].value = f"{line}\n"
        if not line:
            comments[place] = None
    value = mapping[key]
    if isinstance(value, dict | list) and value:
        _trim_comment(value, list(value)[-1] if isinstance(value, dict) else len(value) - 1)


def _describe_losses(values: Any, old: Any) -> list[str]:
    """A sentence on every value of the old file that is not its profile's and is not kept."""
    try:
        own = _own_values(old)
    except UserError as error:
        return [f"not kept: other values that you may have changed: {error}"]
    return [
        f"not kept: {note}" for where, note in own.items() if note != _flatten(values).get(where)
    ]


def _own_values(old: Any) -> dict[tuple[str, ...], str]:
    """What a file has and its own profile has not, but for folders and slots, by its place."""
    usual = _flatten(_read_with_base(old.get("profile")))
    return {
        where: note
        for where, note in _flatten(old).items()
        if note != usual.get(where)
        and not (where[0] == "faces" and where[-1] in ("path", "reader"))
        and not ("subsets" in where and where[-1] == "source")
    }


def _flatten(values: Any, where: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """``place: value`` of everything in nested mappings, by its place."""
    if not isinstance(values, dict) or not values:
        return {where: f"{'.'.join(where)}: {values}"}
    return {
        place: note
        for key, value in values.items()
        for place, note in _flatten(value, (*where, str(key))).items()
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
    limits = {known["train"] for known in values["faces"].values()}  # official: 16 of every set
    train = limits.pop() if len(limits) == 1 else None
    source = values["faces"].setdefault(key, {"reader": reader, "path": None, "train": train})
    if reader and source["reader"] != reader:
        raise UserError(
            f"--faces {given}: {key} is read as {source['reader']}: name other pictures otherwise"
        )
    source["path"] = folder
    return f"{verb}: faces.{key} <- {folder}{_remark(folder)}"


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


def _set_weights(values: Any, given: str, verb: str = "set") -> str:
    run, _, place = given.partition("=")
    if not run or not place:
        raise UserError(f"--weights {given}: write RUN=FILE or RUN=FOLDER")
    if run not in values["runs"]:
        raise unknown_run(f"--weights {given}: runs.{run}", values["runs"])
    values["runs"][run]["weights"] = place
    return f"{verb}: runs.{run}.weights <- {place}{_remark(place)}"


def _remark(place: str) -> str:
    """What to know of a place that is not on this machine; the file may be for another one."""
    return "" if Path(place).exists() else " (not there now)"


def _drop_untrained(values: Any) -> None:
    """Leave the runs that have weights."""
    for run in [run for run, settings in values["runs"].items() if not settings.get("weights")]:
        del values["runs"][run]
    if not values["runs"]:
        raise UserError(
            f"profile {OFFICIAL}: no weights are named: give --weights RUN=FILE, e.g. "
            "xia2019=iter_190000.model.npz; `dfpg weights check METHOD FILE` says what a file is"
        )
