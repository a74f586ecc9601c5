"""``python -m dfpg.commands.deblur.shipped``: what made the shipped model."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dfpg.commands.deblur.shipped import WEIGHTS
from dfpg.core.config import load_config
from dfpg.core.errors import UserError
from dfpg.core.terminal import print_error, say

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Generated = Annotated[Path, typer.Argument(help="Folder of `dfpg faces generate`.")]
CelebA = Annotated[Path, typer.Option(help="Folder of CelebA as its owners distribute it.")]
Kernels = Annotated[Path, typer.Option(help="Measured kernels: .npz of arrays [K, K], K odd.")]
Start = Annotated[Path | None, typer.Option("--from", help="Weights it starts from.")]
Images = Annotated[int, typer.Option(min=1, help="Per kernel size and family, and own kernel.")]
Table = Annotated[bool, typer.Option("--table", help="Gains by kernel size alone, in Markdown.")]


@app.command()
def train(generated: Generated, start: Start = None) -> None:
    """Train the model on embedded and generated people; a stopped training resumes."""
    from dfpg.commands.deblur.shipped.train import train as train_run

    train_run(load_config(), generated, start)


@app.command()
def measure(
    weights: Path,
    celeba: CelebA | None = None,
    kernels: Kernels | None = None,
    images: Images = 60,
    table: Table = False,
) -> None:
    """Print the gains of trained weights on held-out faces."""
    from dfpg.commands.deblur.shipped.by_size import size_table
    from dfpg.commands.deblur.shipped.measure import measure as measure_gains
    from dfpg.core.device import select_device

    found = measure_gains(
        load_config(), weights, select_device(), celeba, kernels, images, sets=not table
    )
    rows = [*found.sizes, *found.kernels]
    say(size_table(rows) if table else json.dumps(asdict(found), indent=2))


@app.command()
def limit(weights: Path) -> None:
    """Print what `dfpg deblur` would leave as it was at several limits, on validation people."""
    from dfpg.commands.deblur.shipped.limit import limit_table
    from dfpg.core.device import select_device

    say(limit_table(load_config(), weights, select_device()))


@app.command()
def pack(generated: Generated, celeba: CelebA, kernels: Kernels, start: Start = None) -> None:
    """Write the half-precision file and its card into the package, if it is good enough."""
    from dfpg.commands.deblur.shipped.pack import pack as pack_weights
    from dfpg.commands.deblur.shipped.train import TRAINED_WEIGHTS, training_facts

    config = load_config()
    training = training_facts(config, generated, start)
    say(pack_weights(config, TRAINED_WEIGHTS, training, celeba, kernels, WEIGHTS))


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print_error(f"dfpg: {error}")
        sys.exit(error.exit_code)
