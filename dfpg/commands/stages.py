"""The commands that ``dvc.yaml`` calls, each for one stage; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfpg.commands.outputs import new_png
from dfpg.core.terminal import print_error, say

stages = typer.Typer()


@stages.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Optional assets to fetch as well; see licences.")
    ] = None,
) -> None:
    """Fetch, verify and unpack the pinned assets (stage `fetch`)."""
    from dfpg.pretrained.assets.store import fetch as fetch_assets
    from dfpg.stages.fetch import fetch as fetch_stage

    fetch_stage()
    if names:
        fetch_assets(names)


@stages.command()
def code() -> None:
    """Write what code every stage and run depends on (stage `code`)."""
    from dfpg.stages.code import code as code_stage

    say(code_stage())


@stages.command()
def verify() -> None:
    """Check data, assets and params.yaml (stage `verify`)."""
    from dfpg.stages.verify import verify as verify_stage

    verify_stage()


@stages.command()
def kernels(
    sheet: Annotated[
        Path | None,
        typer.Option(
            callback=new_png,
            help="Draw kernels into PNGs; `_spline`, `_trajectory` are appended to this name.",
        ),
    ] = None,
) -> None:
    """Make the blur kernels and print their figures (stage `kernels`)."""
    from dfpg.stages.kernels import kernels as kernels_stage

    say(kernels_stage(sheet))


@stages.command()
def testsets(protocol: Annotated[str, typer.Argument(help="a or b")]) -> None:
    """Synthesise one protocol's test set (stage `testsets`)."""
    from dfpg.stages.testsets import testsets as testsets_stage

    testsets_stage(protocol)


@stages.command()
def priors() -> None:
    """Make the prior network (stage `priors`)."""
    from dfpg.stages.priors import priors as priors_stage

    priors_stage()


@stages.command()
def parsing(
    sheet: Annotated[
        Path | None,
        typer.Option(
            callback=new_png,
            help="Draw faces and maps into this PNG; of several sources into one each.",
        ),
    ] = None,
) -> None:
    """Parse the training faces for the semantic methods (stage `parsing`)."""
    from dfpg.stages.parsing import parsing as parsing_stage

    parsing_stage(sheet)


INTO = Annotated[Path, typer.Option(help="Folder that gets what is made.")]


@stages.command()
def train(
    run: Annotated[str, typer.Argument(help="a key of runs in params.yaml")],
    into: INTO = Path("artifacts"),
) -> None:
    """Train one run; a stopped training resumes (stage `train`)."""
    from dfpg.commands.store import pull_hint
    from dfpg.stages.train import train as train_stage

    if hint := pull_hint(run, into):
        print_error(hint)
    train_stage(run, into)


@stages.command()
def evaluate(
    run: Annotated[
        str, typer.Argument(help="a key of runs in params.yaml, or `baselines` or `classical`")
    ],
    into: INTO = Path("artifacts"),
) -> None:
    """Restore and score the test sets with one trained run (stage `evaluate`)."""
    if run == "baselines":
        from dfpg.stages.baselines import baselines

        baselines()
        return
    if run == "classical":
        from dfpg.stages.classical import classical

        classical()
        return
    from dfpg.stages.evaluate import evaluate as evaluate_stage

    evaluate_stage(run, into)


@stages.command()
def robustness(
    runs: Annotated[
        list[str] | None, typer.Argument(help="keys of runs in params.yaml; without any: all")
    ] = None,
) -> None:
    """Score test faces shifted, turned and scaled by known amounts (stage `robustness`)."""
    from dfpg.stages.robustness import robustness as robustness_stage

    say(robustness_stage(runs or []))


@stages.command()
def tables(
    show: Annotated[
        bool, typer.Option("--show", help="Print the tables in results/; make nothing.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("results"),
) -> None:
    """Make results/ from the per-image scores (stage `tables`)."""
    from dfpg.core.config import load_config
    from dfpg.report.markdown import show_tables
    from dfpg.stages.tables import tables as tables_stage

    if show:
        load_config()  # says so where this is no project
        say(show_tables())
    else:
        tables_stage(out)


@stages.command()
def pictures() -> None:
    """Restore the report's example faces and count what each run costs (stage `pictures`)."""
    from dfpg.stages.pictures import pictures as pictures_stage

    pictures_stage()


@stages.command()
def report() -> None:
    """Write artifacts/report/report.html and results/tables.* (stage `report`).

    The report shows faces. Pictures of real people are theirs: keep such a report private.
    """
    from dfpg.stages.report import report as report_stage

    report_stage()


@stages.command()
def environment() -> None:
    """Record machine and versions in results/ (stage `environment`)."""
    from dfpg.stages.environment import environment as environment_stage

    environment_stage()
