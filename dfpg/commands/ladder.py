"""The commands that reproduce: from scores, from weights, from scratch, on many machines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from dfpg.core.terminal import say

ladder = typer.Typer()
cluster_app = typer.Typer(help="Runs on many machines, by Ray.", no_args_is_help=True)
record_app = typer.Typer(help="The record: committed results, and the store.", no_args_is_help=True)

JOBS = Annotated[
    int | None,
    typer.Option(help="Runs at a time; without it one per core, or one on a GPU.", min=1),
]
RUNS = Annotated[
    list[str] | None, typer.Argument(help="keys of runs in params.yaml; without any: all")
]


def default_jobs() -> int:
    """One run per core, one thread each: narrow networks do not fill several; on a GPU one."""
    from dfpg.core.device import select_device

    return (os.cpu_count() or 1) if select_device().type == "cpu" else 1


@ladder.command()
def graph(runs: RUNS = None, jobs: JOBS = None) -> None:
    """Run what is stale in dvc.yaml, several runs side by side; a kill loses nothing."""
    from dfpg.commands.graph import graph as run_graph
    from dfpg.core.config import check_runs, load_config

    check_runs(load_config(), runs or [])
    say(run_graph(Path(), jobs or default_jobs(), runs or []))


@ladder.command()
def analyse() -> None:
    """Make results/ again from the recorded scores; exit code 1 where a byte differs."""
    from dfpg.commands.analyse import analyse as make_again
    from dfpg.core.config import load_config

    analysis = make_again(load_config())
    say(str(analysis))
    raise typer.Exit(1 if analysis.differing else 0)


@ladder.command()
def rescore(
    full: Annotated[
        bool, typer.Option("--full/--part", help="All test images, or a part chosen by rule.")
    ] = False,
) -> None:
    """Restore and score test images again; exit code 1 where one differs from the record.

    Changes nothing of the record; Tables 1 to 4 are in artifacts/rescored.
    """
    from dfpg.commands.rescore import rescore as score_again
    from dfpg.core.config import load_config

    outcome = score_again(load_config(), full)
    say(outcome.text)
    raise typer.Exit(0 if outcome.agree else 1)


@ladder.command()
def retrain(runs: RUNS = None, jobs: JOBS = None) -> None:
    """Train runs from scratch beside the record, compare; exit code 1 where a gain differs."""
    from dfpg.commands.retrain import retrain as train_again
    from dfpg.core.config import load_config

    outcome = train_again(load_config(), runs or [], jobs or default_jobs())
    say(outcome.text)
    raise typer.Exit(0 if outcome.agree else 1)


@record_app.command("check")
def record_check() -> None:
    """Say whether results/ and dvc.lock belong to this code, data and params.yaml; else exit 1."""
    from dfpg.commands.record import check_record
    from dfpg.core.config import load_config

    load_config()  # says so where this is no project
    check = check_record()
    say(str(check))
    raise typer.Exit(0 if check.ok else 1)


@record_app.command("fetch")
def record_fetch() -> None:
    """Bring the record out of the store, and show that it belongs to this code; trains nothing."""
    from dfpg.commands.recording import fetch_record

    say(fetch_record())


@record_app.command("make")
def record_make(jobs: JOBS = None) -> None:
    """Bring everything up to date and keep it in the store; say what changed."""
    from dfpg.commands.recording import make_record
    from dfpg.core.config import load_config

    say(make_record(load_config(), Path(), jobs or default_jobs()))


@record_app.command("pages")
def record_pages() -> None:
    """Write the tables of results/ into README.md and the pages of docs/, between their marks."""
    from dfpg.core.config import load_config
    from dfpg.report.page_tables import fill_pages

    load_config()
    changed = ", ".join(map(str, fill_pages(Path())))
    say(f"written: {changed}" if changed else "the pages show results/ already")


@record_app.command("add")
def record_add(
    runs: RUNS = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Folder that `dfpg train RUN --into FOLDER` filled."),
    ] = None,
) -> None:
    """Keep finished trainings in the store and dvc.lock, while others are not finished."""
    from dfpg.commands.recording import add_runs
    from dfpg.core.config import load_config

    say(add_runs(load_config(), Path(), runs or [], source))


@record_app.command("carry")
def record_carry(
    stages: Annotated[
        list[str] | None,
        typer.Argument(help="as DVC names them, train@b1; without any: all whose code changed"),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(
            "--from", help="Code of the record; without it, of the last commit of dvc.lock."
        ),
    ] = None,
) -> None:
    """Keep what stages made where their code changed and every byte that it makes is the same.

    Runs each stage with both codes, a training for 60 steps; exit code 1 where something differs.
    """
    from dfpg.commands.carry import carry
    from dfpg.core.config import load_config

    load_config()
    outcome = carry(Path(), stages or [], commit)
    say(outcome.text)
    raise typer.Exit(0 if outcome.same else 1)


@cluster_app.command("run")
def cluster_run(
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
    from dfpg.commands.cluster.command import cluster_run as run_on_cluster
    from dfpg.commands.cluster.tasks import cores_here
    from dfpg.core.config import load_config

    say(run_on_cluster(load_config(), Path(), runs or [], address, cores_here(jobs), jobs or 1))


@cluster_app.command("cost")
def cluster_cost(
    profile: Annotated[str, typer.Argument(help="research or paper")],
    throughput: Annotated[Path, typer.Option(help="CSV of `make bench` on a GPU.")] = Path(
        "results/throughput-cuda-nvidia-h200.csv"
    ),
) -> None:
    """Say how many GPU hours a profile's trainings take, and how long that is on 1, 8, 64 GPUs."""
    from dfpg.commands.cluster.cost import cost_page
    from dfpg.core.profile import resolve_profile

    say(cost_page(resolve_profile(profile)[0], throughput))
