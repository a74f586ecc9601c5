"""The compared methods as a table: papers, sizes, costs, and what their rows are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from dfpg.core.config import Config
from dfpg.core.markdown import markdown_table
from dfpg.methods.registry import METHODS, build_method
from dfpg.paper.tables import TABLES, fidelity, table_rows

SIDE = 128  # px: the paper's image size
COUNTED = ("convolution", "addmm", "mm")  # convolutions and linear layers; no attention products
ABSENT = "-"

Record = dict[str, str]

HEADINGS = {
    "method": "method",
    "system": "system",
    "paper": "paper",
    "year": "year",
    "parameters": "parameters (M)",
    "gmacs": "GMACs",
    "full_parameters": "full: parameters (M)",
    "full_gmacs": "full: GMACs",
    "protocols": "protocols",
    "fidelity": "fidelity",
    "weights": "published weights",
}


class Cost(NamedTuple):
    """What restoring one picture of ``SIDE`` x ``SIDE`` px takes.

    ``parameters`` are the generator's, ``macs`` the multiply-accumulates of its convolutions and
    linear layers.
    """

    parameters: int
    macs: int


def cost(config: Config, run: str) -> Cost:
    """Cost of a run's network, without its weights: everything is on the meta device.

    Raises:
        UserError: no such run, or bad options.
    """
    with torch.device("meta"):
        method = build_method(config.model_copy(update={"image_size": SIDE}), run, prior=None)
        image = torch.empty(1, 3, SIDE, SIDE)
    with FlopCounterMode(display=False) as counter:
        method.restore(image)
    flops = counter.get_flop_counts().get("Global", {})
    counted = sum(n for kind, n in flops.items() if str(kind).removeprefix("aten.") in COUNTED)
    parameters = sum(p.numel() for p in method.networks["generator"].parameters())
    return Cost(parameters, counted // 2)


def overview(config: Config, full: Config) -> list[Record]:
    """One record per registered method, its columns those of ``HEADINGS``.

    Costs are those of the method's first run; ``-`` where a profile has none.

    Args:
        config: the profile in use.
        full: the profile at the paper's widths.

    Raises:
        UserError: bad options of a run.
    """
    records = []
    for name, entry in METHODS.items():
        runs = [run for run, settings in config.runs.items() if settings.method == name]
        rows = [row for table in TABLES for row in table_rows(table, config) if row.run in runs]
        records.append(
            {
                "method": name,
                "system": entry.title,
                "paper": entry.paper,
                "year": str(entry.year),
                **dict(zip(("parameters", "gmacs"), _cost(config, name), strict=True)),
                **dict(zip(("full_parameters", "full_gmacs"), _cost(full, name), strict=True)),
                "protocols": _list([config.runs[run].protocol for run in runs]),
                "fidelity": _list([fidelity(config, row) for row in rows]),
                "weights": entry.weights,
            }
        )
    return records


def markdown(records: Sequence[Record]) -> str:
    """Records of :func:`overview` as a Markdown table."""
    return markdown_table(list(HEADINGS.values()), (list(record.values()) for record in records))


def _cost(config: Config, method: str) -> tuple[str, str]:
    """Parameters in millions and GMACs of a method's first run."""
    run = next((run for run, settings in config.runs.items() if settings.method == method), None)
    if run is None:
        return ABSENT, ABSENT
    found = cost(config, run)
    return f"{found.parameters / 1e6:.2f}", f"{found.macs / 1e9:.2f}"


def _list(values: Sequence[str]) -> str:
    return ", ".join(sorted(set(values))) or ABSENT
