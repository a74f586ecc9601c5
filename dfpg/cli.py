"""The ``dfpg`` command: thin, imports late. Bad input ends in one line and exit code 2."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from dfpg.commands.faces import data_app, faces_app
from dfpg.commands.ladder import cluster_app, ladder, record_app
from dfpg.commands.outputs import new_png
from dfpg.commands.photographs import photographs
from dfpg.commands.stages import stages
from dfpg.commands.studies import studies
from dfpg.core.errors import UserError, error_line
from dfpg.core.installation import warn_of_other_copy
from dfpg.core.terminal import accept_any_text, flush_output, print_error, say

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},  # where the terminal has it
)
profile_app = typer.Typer(
    help="Profiles: size of networks, length of trainings, faces.", no_args_is_help=True
)
app.add_typer(profile_app, name="profile")
app.add_typer(faces_app, name="faces")
weights_app = typer.Typer(help="Published weights.", no_args_is_help=True)
app.add_typer(weights_app, name="weights")
testset_app = typer.Typer(help="Test sets for other codes.", no_args_is_help=True)
app.add_typer(testset_app, name="testset")
app.add_typer(data_app, name="data")
app.add_typer(record_app, name="record")
app.add_typer(cluster_app, name="cluster")
app.registered_commands += (
    stages.registered_commands
    + ladder.registered_commands
    + studies.registered_commands
    + photographs.registered_commands
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"dfpg-bench {version('dfpg-bench')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """DFPG-Bench: the reproducibility benchmark suite for face deblurring."""


@app.command()
def licences() -> None:
    """Print licence, origin and terms of every asset."""
    from dfpg.pretrained.assets.store import licence_table

    say(licence_table())


@app.command()
def score(
    restored: Annotated[Path, typer.Option(help="Folder of restored images.")],
    sharp: Annotated[Path, typer.Option(help="Folder of sharp images.")],
    out: Annotated[Path, typer.Option(help="CSV of every image.")] = Path("restored_scores.csv"),
    vggface: Annotated[Path | None, typer.Option(help="Your VGGFace file, for d_VGG.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV.")] = False,
    suffix: Annotated[
        str | None, typer.Option(help="What restored images' names end with, such as _out.")
    ] = None,
) -> None:
    """Score anyone's restored images by every convention; needs the assets, no project.

    Files match by equal names, or as <stem>_ker<NN>_blur_k<size> with <stem>; _random, _out3 and
    _deblur at the end of restored images' names are known.
    """
    from dfpg.commands.score import score as score_folders

    say(score_folders(restored, sharp, out, force, vggface, suffix))


@app.command()
def submit(
    name: Annotated[str, typer.Argument(help="Name of the row.")],
    restored: Annotated[Path | None, typer.Option(help="Folder laid out like the export.")] = None,
    protocol: Annotated[str, typer.Option(help="a or b")] = "",
    paper: Annotated[str, typer.Option(help="What code or paper made them; column note.")] = "",
    by: Annotated[str, typer.Option(help="Who submits; into the card.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace that submission.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete that submission.")] = False,
) -> None:
    """Add another code's output for an exported test set to the tables, as a row."""
    from dfpg.commands import submit as submission

    if remove:
        say(submission.remove(name))
    elif restored is None or not protocol:
        raise UserError(f"submit {name}: give --restored DIR and --protocol a or b")
    else:
        say(submission.submit(name, restored, protocol, paper, by, force))


@testset_app.command("export")
def export_testset(
    protocol: Annotated[str, typer.Argument(help="a or b")],
    out: Annotated[Path, typer.Argument(help="Folder for the images.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace images of the same names.")
    ] = False,
) -> None:
    """Write a protocol's blurred and sharp images as PNG, in the published naming."""
    from dfpg.commands.export import export_testset as export_testset_command

    say(export_testset_command(protocol, out, force))


@app.command()
def sheet(
    out: Annotated[
        Path, typer.Argument(callback=new_png, help="PNG; `_a` and `_b` are appended to its name.")
    ],
    runs: Annotated[
        list[str] | None, typer.Option("--run", help="Only this run; give it several times.")
    ] = None,
    blurred: Annotated[
        Path | None,
        typer.Option(help="Folder of really blurred faces to draw instead, into one PNG."),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(help="With --blurred: HEADING=FOLDER of pictures with the same file names."),
    ] = None,
) -> None:
    """Draw test faces as every trained run restores them, one sheet per protocol.

    The faces are chosen by rule. Do not publish sheets that show real people.
    """
    from dfpg.commands.sheet import real_blur
    from dfpg.commands.sheet import sheet as sheet_command

    if blurred is None and beside:
        raise UserError("--beside: only with --blurred FOLDER")
    if blurred is not None and runs:
        raise UserError("--run: not with --blurred, which shows every run")
    if blurred is None:
        say(sheet_command(out, runs or []))
    else:
        say(real_blur(blurred, out, beside or []))


@app.command()
def methods(
    csv: Annotated[Path | None, typer.Option(help="Write the table into this CSV, too.")] = None,
) -> None:
    """Print the compared methods: sizes and costs at 128 px here and in full, fidelity, weights."""
    from dfpg.commands.methods import methods as methods_command

    say(methods_command(csv))


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say what this machine is, what is missing, and what profiles would cost here.

    Takes a quarter of a minute. Exits with 0 if `make repro` could run now, with 1 if not.
    """
    from dfpg.commands.doctor.report import diagnose, render

    report = diagnose()
    if as_json:
        import json

        say(json.dumps(report.record(), indent=2))
    else:
        say(render(report))
    raise typer.Exit(0 if report.ready else 1)


@app.command()
def compare(first: Path, second: Path) -> None:
    """Say whether two result folders agree, value by value, within the stated tolerances."""
    from dfpg.commands.compare import compare as compare_folders

    report = compare_folders(first, second)
    say(str(report))
    raise typer.Exit(0 if report.agree else 1)


@app.command()
def seeds(
    folders: Annotated[
        list[Path], typer.Argument(help="folders of `dfpg publish`, or projects, one per seed")
    ],
    out: Annotated[Path, typer.Option(help="CSV to write.")] = Path("results/seeds.csv"),
    against: Annotated[
        str, typer.Option(help="Run or baseline that the column gain compares with.")
    ] = "blurred",
) -> None:
    """Tables over several training seeds, with intervals over people and seeds."""
    from dfpg.commands.seeds import compare_seeds

    say(compare_seeds(folders, out, against))


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="Folder under results/.")],
    force: Annotated[bool, typer.Option("--force", help="Replace that record.")] = False,
) -> None:
    """Keep the tables of another profile's run, and what made them, as results/NAME."""
    from dfpg.commands.publish import publish as keep
    from dfpg.core.config import load_config

    say(keep(load_config(), name, force=force))


@profile_app.command("use")
def profile_use(
    name: str,
    faces: Annotated[
        list[str] | None,
        typer.Option(help="SOURCE=FOLDER of your photographs; a new one: SOURCE=READER:FOLDER."),
    ] = None,
    slot: Annotated[
        list[str] | None, typer.Option(help="PROTOCOL.SUBSET=SOURCE, e.g. b.ffhq=portraits.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="RUN=FILE of published weights; the run is not trained."),
    ] = None,
) -> None:
    """Write a profile's resolved values into params.yaml; folders named there before stay."""
    from dfpg.core.profile import describe_profile, use_profile

    notes = use_profile(name, faces=faces or (), slots=slot or (), weights=weights or ())
    say("\n".join([f"params.yaml is now profile {name}", *notes, describe_profile(name)]))


@profile_app.command("list")
def profile_list() -> None:
    """Say what each profile is for, what it needs and how long it takes."""
    from dfpg.core.profile import NAMES, describe_profile

    say("\n\n".join(f"{name}\n{describe_profile(name)}" for name in NAMES))


@weights_app.command("check")
def weights_check(
    method: Annotated[str, typer.Argument(help="as in `dfpg methods`")],
    file: Annotated[Path, typer.Argument(help="File or folder of published weights.")],
    out: Annotated[
        Path | None,
        typer.Option(
            callback=new_png, help="Draw blurred, restored and sharp image into this PNG."
        ),
    ] = None,
) -> None:
    """Say what a file of published weights is and which options fit; restore one test image."""
    from dfpg.commands.weights import check_weights

    say(check_weights(method, file, out))


# OpenMP threads that spin for long while they wait make training ten times slower as soon as
# something else runs on the machine; this short wait costs nothing when nothing does.
OPENMP_SPIN = "20000"


def main() -> None:
    """Entry point: an error of :func:`dfpg.core.errors.error_line` becomes one line on stderr."""
    os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPIN)  # read when torch is imported
    accept_any_text()
    if not sys.warnoptions:  # python -W default shows them
        warnings.simplefilter("ignore")  # of libraries: they name a line of code, not what to do
    warn_of_other_copy()
    try:
        try:
            if stage := os.environ.get("DVC_STAGE"):
                from dfpg.stages.code import check_code
                from dfpg.training.lock import end_with_owner

                check_code(stage)
                if not stage.startswith("train@"):
                    end_with_owner()
            app()
        finally:
            flush_output()
    except Exception as error:
        line = error_line(error)
        if line is None:
            raise
        print_error(f"dfpg: {line}")
        sys.exit(error.exit_code if isinstance(error, UserError) else UserError.exit_code)
