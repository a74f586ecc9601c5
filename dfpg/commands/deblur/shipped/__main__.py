"""``python -m dfpg.commands.deblur.shipped``: what made the shipped model."""

from __future__ import annotations

import json
import sys
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


@app.command()
def train(generated: Generated) -> None:
    """Train the model on embedded and generated people; a stopped training resumes."""
    from dfpg.commands.deblur.shipped.train import train as train_run

    train_run(load_config(), generated)


@app.command()
def measure(
    weights: Path, celeba: Annotated[Path | None, typer.Option(help="CelebA's folder.")] = None
) -> None:
    """Print the gains of trained weights on held-out faces."""
    from dfpg.commands.deblur.shipped.measure import measure as measure_gains
    from dfpg.core.device import select_device
    from dfpg.methods.registry import build_restorer

    device = select_device()
    found = measure_gains(load_config(), build_restorer(weights, device), device, celeba)
    say(json.dumps(found, indent=2))


@app.command()
def pack(generated: Generated, celeba: CelebA) -> None:
    """Write the half-precision file and its card into the package, if it is good enough."""
    from dfpg.commands.deblur.shipped.pack import pack as pack_weights
    from dfpg.commands.deblur.shipped.train import TRAINED_WEIGHTS, training_facts

    config = load_config()
    training = training_facts(config, generated)
    say(pack_weights(config, TRAINED_WEIGHTS, training, celeba, WEIGHTS))


if __name__ == "__main__":
    try:
        app()
    except UserError as error:
        print_error(f"dfpg: {error}")
        sys.exit(error.exit_code)
