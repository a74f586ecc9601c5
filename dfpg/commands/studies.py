"""The commands behind what claims rest on: floor, equal tuning, readings, budgets; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfpg.core.terminal import say

studies = typer.Typer()


@studies.command()
def tune(
    runs: Annotated[list[str] | None, typer.Argument(help="keys of runs; without any: all")] = None,
    images: Annotated[int, typer.Option(help="Training images of a trial.")] = 1600,
    take: Annotated[
        bool, typer.Option("--take", help="Write the winners into params.yaml and its profile.")
    ] = False,
) -> None:
    """Try five settings of the learning rates of every run at one short budget; resumable."""
    from dfpg.commands.tune import tune as tune_command

    say(tune_command(runs or [], images, take))


@studies.command()
def readings(
    choices: Annotated[
        list[str] | None, typer.Argument(help="names in dfpg/paper/readings.py; without any: all")
    ] = None,
    images: Annotated[int, typer.Option(help="Training images of every training.")] = 1600,
) -> None:
    """Train the ablation under every reading of what the paper leaves open; resumable."""
    from dfpg.commands.readings import readings as readings_command

    say(readings_command(choices or [], images))


@studies.command()
def budget() -> None:
    """Score the weights kept on the way of every training: results/budget.csv; resumable."""
    from dfpg.commands.budget import budget as budget_command

    say(budget_command())


@studies.command()
def classical(
    take: Annotated[
        bool, typer.Option("--take", help="Write the best into params.yaml and its profile.")
    ] = False,
) -> None:
    """Choose the classical rows' parameters on validation people (a minute)."""
    from dfpg.commands.classical import choose_classical

    say(choose_classical(take))


@studies.command()
def calibrate(
    weights: Annotated[Path, typer.Argument(help="Folder of DMPHN's six published files.")],
    images: Annotated[int, typer.Option(help="Images per column; 0.2 s each on a core.")] = 96,
) -> None:
    """Score the published DMPHN on protocol B's test set, beside the paper's row of Table 2.

    Says whether test images are as hard as the paper's. Needs no training, and a test set at 128 px
    of your own photographs: `dvc repro testsets@b` in the profile research.
    """
    from dfpg.commands.calibrate import calibrate as compare_with_paper
    from dfpg.core.config import load_config

    say(compare_with_paper(load_config(), weights, images))
