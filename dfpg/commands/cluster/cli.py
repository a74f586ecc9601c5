"""``dfpg cluster``: runs on many machines; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfpg.commands.ladder import RUNS
from dfpg.core.terminal import say

cluster_app = typer.Typer(help="Runs on many machines, by Ray.", no_args_is_help=True)


@cluster_app.command("run")
def run(
    runs: RUNS = None,
    address: Annotated[
        str | None,
        typer.Option(help="`auto` or HOST:PORT of a Ray cluster; without it this machine alone."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Runs at a time on each GPU; without GPUs on this machine.", min=1),
    ] = None,
) -> None:
    """Run what is stale in dvc.yaml, each run on some node; a lost node loses no training.

    All nodes see the project's folder at the same place. The nodes of a cluster without GPUs take
    as many runs at a time as they have cores.
    """
    from dfpg.commands.cluster.command import cluster_run
    from dfpg.commands.cluster.tasks import cores_here
    from dfpg.core.config import load_config

    say(cluster_run(load_config(), Path(), runs or [], address, cores_here(jobs), jobs or 1))


@cluster_app.command("cost")
def cost(
    profile: Annotated[str, typer.Argument(help="research or paper")],
    throughput: Annotated[Path, typer.Option(help="CSV of `make bench` on a GPU.")] = Path(
        "results/throughput-cuda-nvidia-h200.csv"
    ),
) -> None:
    """Say how many GPU hours a profile's trainings take, and how long that is on 1, 8, 64 GPUs."""
    from dfpg.commands.cluster.cost import cost_page
    from dfpg.core.profile import resolve_profile

    say(cost_page(resolve_profile(profile)[0], throughput))
