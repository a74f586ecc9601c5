"""Names of earlier versions, and what they are now: what a refused file or key is told."""

from __future__ import annotations

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
