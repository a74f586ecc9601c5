"""Names of earlier versions, and what they are now: what a refused file or key is told."""

from __future__ import annotations

import re
from collections.abc import Collection

# Metrics: old name -> new one.
METRICS = {"d_vgg_lab": "d_vgg_authors", "lpips_vgg_lab": "lpips_vgg_authors"}
# Columns of CSV files: old name -> new one.
COLUMNS = {"protocol": "test_set", "weakest_protocol": "weakest_test_set", **METRICS}
# Keys of params.yaml: model of the section and old key -> advice.
_SCHEDULE = "write `schedule`, e.g. {shape: exponential, factor: 0.99, times: 200}, or null"
KEYS = {
    ("Run", "steps"): "write `images`: steps x training.batch_size",
    ("Training", "lr_decay"): _SCHEDULE,
    ("Training", "decay_every"): _SCHEDULE,
    ("RestormerOptions", "clip_norm"): "write `clip`, in the section training",
}
# Choices in params.yaml: old word -> new one.
CHOICES = {"lab": "authors"}
# Functions and classes that a method's file may import: module -> old name -> new one.
NAMES = {
    "dfpg.core.errors": {
        "printable": "escape_text",
        "escaped": "escape_character",
        "refused": "file_error",
        "line_of": "error_line",
    },
    "dfpg.core.files": {
        "in_home": "expand_home",
    },
    "dfpg.core.checked": {
        "in_half": "to_half",
    },
    "dfpg.core.closure": {
        "meaning": "strip_comments",
    },
    "dfpg.core.config": {
        "no_such_run": "unknown_run",
    },
    "dfpg.core.listing": {
        "named": "describe_names",
        "composed": "normalise_name",
    },
    "dfpg.core.markdown": {
        "escape": "escape_cell",
    },
    "dfpg.methods.initialise": {
        "frozen": "freeze",
        "orthonormal_ends": "set_orthonormal_ends",
    },
    "dfpg.methods.dfpgnet": {
        "watched_transforms": "watch_transforms",
    },
    "dfpg.methods.lee2020": {
        "masked": "mask_images",
    },
    "dfpg.methods.li2020": {
        "resized": "resize",
        "halved": "image_pyramid",
    },
    "dfpg.methods.official": {
        "renamed": "rename_tensor",
        "counted": "count_numbers",
        "length_in": "axis_length",
        "matched": "match_state",
    },
    "dfpg.methods.wang2021": {
        "resized": "resize",
        "scaled": "resample",
        "leaky": "leaky_relu",
        "unit": "unit_rms",
    },
    "dfpg.methods.xia2019": {
        "down": "downsample",
        "up": "upsample",
    },
    "dfpg.methods.yasarla2020": {
        "plain": "plain_block",
        "wide": "wide_block",
        "dilated": "dilated_block",
        "half": "subsample",
        "leaky": "leaky_relu",
        "double_smoothly": "double_bilinear",
    },
    "dfpg.pretrained.assets.convert": {
        "verbatim": "sole_member",
    },
    "dfpg.pretrained.parsing": {
        "mirrored": "swap_sides",
        "sided": "assign_sides",
    },
    "dfpg.pretrained.vggface": {
        "canonical": "to_canonical",
    },
    "dfpg.data.augmentation": {
        "places": "sampling_grid",
    },
    "dfpg.data.faces.dataset": {
        "reframed": "reframe",
        "joined": "join_sets",
    },
    "dfpg.data.faces.duplicates": {
        "alike": "are_alike",
        "grouped": "group_alike",
    },
    "dfpg.data.faces.selection": {
        "Verdict": "Outcome",
        "turn": "head_turn",
    },
    "dfpg.data.faces.source": {
        "Framed": "FramedFace",
    },
    "dfpg.data.faces.helen": {
        "widened": "widen",
        "reflected": "crop_with_reflection",
    },
    "dfpg.data.stratify": {
        "lightest": "pick_least_loaded",
        "one_per_person": "pick_one_per_person",
    },
}
# Methods of a method's class that another class may override: old name -> new one.
HOOKS = {"judged": "discriminator_input"}
_NO_NAME = re.compile(r"cannot import name '(\w+)'")


def old_column(name: str, present: Collection[str]) -> str | None:
    """The old name by which a file has a column; None where it has it by none."""
    return next((old for old, new in COLUMNS.items() if new == name and old in present), None)


def absent_column(name: str, present: Collection[str]) -> str:
    """What a file without a column lacks: the column, or that it has it by an old name."""
    old = old_column(name, present)
    return f"column {old!r} is now {name!r}" if old else f"no column {name!r}"


def unknown_metric(name: str, known: Collection[str]) -> str:
    """What is wrong with a metric that is not known: it has a new name, or there is none such."""
    choice = f"use one of {', '.join(known)}"
    new = METRICS.get(name)
    if new is None:
        return f"metric {name!r}: unknown: {choice}"
    if new in known:
        return f"metric {name!r} is now {new!r}"
    return f"metric {name!r} is now {new!r}, which `dfpg score` gives; of two images alone {choice}"


def renamed_import(error: ImportError) -> str | None:
    """What an import that failed asks for by its old name; None where it is something else."""
    found = _NO_NAME.match(str(error))
    old = found[1] if found else ""
    new = NAMES.get(error.name or "", {}).get(old)
    return f"{old!r} of {error.name} is now {new!r}" if new else None


def renamed_hook(method: type) -> str | None:
    """The method that a class overrides by its old name; None where it overrides none such."""
    for old, new in HOOKS.items():
        if old in vars(method) and hasattr(method, new):
            return f"{method.__name__}.{old} is now {new!r}"
    return None
