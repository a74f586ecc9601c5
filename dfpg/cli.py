"""The ``dfpg`` command: thin, imports late. Bad input ends in one line and exit code 2."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dfpg.core.errors import UserError

app = typer.Typer(
    help="DFPG-Bench: the reproducibility benchmark suite for face deblurring.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
profile_app = typer.Typer(help="Profiles: how large the suite runs.", no_args_is_help=True)
faces_app = typer.Typer(help="Sources of sharp faces.", no_args_is_help=True)
app.add_typer(profile_app, name="profile")
data_app = typer.Typer(help="Your own photographs.", no_args_is_help=True)
app.add_typer(faces_app, name="faces")
testset_app = typer.Typer(help="Test sets for other codes.", no_args_is_help=True)
app.add_typer(testset_app, name="testset")
app.add_typer(data_app, name="data")


@app.command()
def fetch(
    names: Annotated[
        list[str] | None, typer.Argument(help="Optional assets to fetch as well; see licences.")
    ] = None,
) -> None:
    """Fetch, verify and unpack the pinned assets."""
    from dfpg.pretrained.assets.store import fetch as fetch_assets

    fetch_assets()
    if names:
        fetch_assets(names)


@app.command()
def licences() -> None:
    """Print licence, origin and terms of every asset."""
    from dfpg.pretrained.assets.store import licence_table

    typer.echo(licence_table())


@app.command()
def verify() -> None:
    """Check data, assets and params.yaml (stage `verify`)."""
    from dfpg.stages import pipeline

    pipeline.verify()


@app.command()
def kernels(
    sheet: Annotated[
        Path | None, typer.Option(help="Draw a sheet of kernels into this PNG.")
    ] = None,
) -> None:
    """Make the blur kernels and print their figures (stage `kernels`)."""
    from dfpg.stages import pipeline

    typer.echo(pipeline.kernels(sheet))


@app.command()
def testsets(protocol: Annotated[str, typer.Argument(help="a or b")]) -> None:
    """Synthesise one protocol's test set (stage `testsets`)."""
    from dfpg.stages import pipeline

    pipeline.testsets(protocol)


@app.command()
def priors() -> None:
    """Make the prior network (stage `priors`)."""
    from dfpg.stages import pipeline

    pipeline.priors()


@app.command()
def parsing(
    sheet: Annotated[Path | None, typer.Option(help="Draw faces and maps into this PNG.")] = None,
) -> None:
    """Parse the training faces for the semantic methods (stage `parsing`)."""
    from dfpg.stages import pipeline

    pipeline.parsing(sheet)


@app.command()
def train(run: Annotated[str, typer.Argument(help="a key of runs in params.yaml")]) -> None:
    """Train one run; a stopped training resumes (stage `train`)."""
    from dfpg.stages import pipeline

    pipeline.train(run)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="a key of runs in params.yaml, or `baselines`")],
) -> None:
    """Restore and score the test sets with one trained run (stage `evaluate`)."""
    from dfpg.stages import results

    results.evaluate(run)


@app.command()
def robustness(
    runs: Annotated[
        list[str] | None, typer.Argument(help="keys of runs in params.yaml; without any: all")
    ] = None,
) -> None:
    """Score test faces shifted, turned and scaled by known amounts (stage `robustness`)."""
    from dfpg.stages import results

    typer.echo(results.robustness(runs or []))


@app.command()
def tables(
    show: Annotated[
        bool, typer.Option("--show", help="Print the tables in results/; make nothing.")
    ] = False,
) -> None:
    """Make results/ from the per-image scores (stage `tables`)."""
    from dfpg.stages import results

    if show:
        typer.echo(results.show_tables())
    else:
        results.tables()


@app.command()
def score(
    restored: Annotated[Path, typer.Option(help="Folder of restored images.")],
    sharp: Annotated[Path, typer.Option(help="Folder of sharp images.")],
    out: Annotated[Path, typer.Option(help="CSV of every image.")] = Path("restored_scores.csv"),
    vggface: Annotated[Path | None, typer.Option(help="Your VGGFace file, for d_VGG.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV.")] = False,
) -> None:
    """Score anyone's restored images by every convention; needs the assets, no project.

    Files match by equal names, or as <stem>_ker<NN>_blur_k<size> with <stem>.
    """
    from dfpg.commands.score import score as score_folders

    typer.echo(score_folders(restored, sharp, out, force, vggface))


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
    """Take another code's output for an exported test set as a row of the tables."""
    from dfpg.commands import submit as submission

    if remove:
        typer.echo(submission.remove(name))
    elif restored is None or not protocol:
        raise UserError(f"submit {name}: give --restored DIR and --protocol a or b")
    else:
        typer.echo(submission.submit(name, restored, protocol, paper, by, force))


@testset_app.command("export")
def export_testset(
    protocol: Annotated[str, typer.Argument(help="a or b")],
    out: Annotated[Path, typer.Argument(help="Folder for the images.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace images of the same names.")
    ] = False,
) -> None:
    """Write a protocol's blurred and sharp images as PNG, in the published naming."""
    from dfpg.stages import pipeline

    typer.echo(pipeline.export_testset(protocol, out, force))


@app.command()
def sheet(
    out: Annotated[Path, typer.Argument(help="PNG; `_a` and `_b` are put to its name.")],
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

    Which faces is decided by rule. Pictures of real people are theirs: keep such sheets private.
    """
    from dfpg.stages import results

    if blurred is None:
        typer.echo(results.sheet(out))
    else:
        typer.echo(results.real_blur(blurred, out, beside or []))


@app.command()
def pictures() -> None:
    """Restore the report's example faces and count what each run costs (stage `pictures`)."""
    from dfpg.stages import results

    results.pictures()


@app.command()
def report() -> None:
    """Write artifacts/report/report.html and results/tables.* (stage `report`).

    The report shows faces. Pictures of real people are theirs: keep such a report private.
    """
    from dfpg.stages import results

    results.report()


@app.command()
def deblur(
    source: Annotated[Path, typer.Argument(help="A photograph, or a folder of them.")],
    out: Annotated[Path, typer.Argument(help="Folder; for one photograph also a file.")],
    weights: Annotated[
        Path | None, typer.Option(help="A trained run's weights; else the model that ships.")
    ] = None,
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The pictures are faces, framed as in training.")
    ] = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="Write a strip before | after beside each.")
    ] = False,
    copy: Annotated[
        bool, typer.Option("--copy", help="Write photographs without a face, too, as they are.")
    ] = False,
    png: Annotated[bool, typer.Option("--png", help="Write PNG files: nothing is lost.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or mps.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Restore the faces of photographs; exit code 1 if some photographs were left out."""
    from dfpg.commands.deblur.command import Choices
    from dfpg.commands.deblur.command import deblur as restore

    choices = Choices(weights, device, aligned, copy, png, strip, force)
    outcome = restore(source, out, choices)
    typer.echo(outcome.text)
    raise typer.Exit(0 if outcome.complete else 1)


@app.command()
def methods(
    csv: Annotated[Path | None, typer.Option(help="Write the table into this CSV, too.")] = None,
) -> None:
    """Print the compared methods: sizes and costs at 128 px here and in full, fidelity, weights."""
    from dfpg.stages import results

    typer.echo(results.methods(csv))


@app.command()
def environment() -> None:
    """Record machine and versions in results/ (stage `environment`)."""
    from dfpg.stages import results

    results.environment()


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Say what this machine is, what is missing, and what each profile would cost here.

    Takes a quarter of a minute. Exits with 0 if `make repro` could run now, with 1 if not.
    """
    from dfpg.commands.doctor.report import diagnose, render

    report = diagnose()
    if as_json:
        import json

        typer.echo(json.dumps(report.record(), indent=2))
    else:
        typer.echo(render(report))
    raise typer.Exit(0 if report.ready else 1)


@app.command()
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

    typer.echo(compare_with_paper(load_config(), weights, images))


@app.command()
def compare(first: Path, second: Path) -> None:
    """Say whether two result folders agree, value by value, within the stated tolerances."""
    from dfpg.commands.compare import compare as compare_folders

    report = compare_folders(first, second)
    typer.echo(str(report))
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

    typer.echo(compare_seeds(folders, out, against))


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="Folder under results/.")],
    force: Annotated[bool, typer.Option("--force", help="Replace that record.")] = False,
) -> None:
    """Keep the tables of another profile's run, and what made them, as results/NAME."""
    from dfpg.commands.publish import publish as keep
    from dfpg.core.config import load_config

    typer.echo(keep(load_config(), name, force=force))


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
) -> None:
    """Write a profile's resolved values into params.yaml; folders named there before stay."""
    from dfpg.core.profile import describe_profile, use_profile

    notes = use_profile(name, faces=faces or (), slots=slot or ())
    typer.echo("\n".join([f"params.yaml is now profile {name}", *notes, describe_profile(name)]))


@profile_app.command("list")
def profile_list() -> None:
    """Say what each profile is for, what it needs and how long it takes."""
    from dfpg.core.profile import NAMES, describe_profile

    typer.echo("\n\n".join(f"{name}\n{describe_profile(name)}" for name in NAMES))


@faces_app.command("prepare")
def faces_prepare() -> None:
    """Frame, split and pack the photographs of your own sources (stage `faces`)."""
    from dfpg.stages import pipeline

    typer.echo(pipeline.faces())


@data_app.command("check")
def data_check() -> None:
    """Say which photographs are at hand and what they fill; exit code 1 if some are lacking."""
    from dfpg.core.config import load_config
    from dfpg.data.faces.check import check_data

    text, complete = check_data(load_config())
    typer.echo(text)
    raise typer.Exit(0 if complete else 1)


@faces_app.command("generate")
def faces_generate(
    out: Annotated[Path, typer.Option(help="New folder for pictures and index.")],
    people: Annotated[int, typer.Option(min=1, help="People to keep, four pictures each.")] = 440,
    seed: Annotated[int, typer.Option(help="Seed of the styles; the embedded faces use 0.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Side of a picture in px.")] = 160,
) -> None:
    """Generate people, drop failures by rule, write pictures and index."""
    from dfpg.data.faces.create import create_faces

    dropped = create_faces(out, people, seed, size)
    typer.echo(f"{out}: {people} people kept, {dropped.total()} dropped {dict(dropped)}")


@faces_app.command("sheet")
def faces_sheet(
    out: Annotated[Path, typer.Option(help="PNG file to write.")],
    folder: Annotated[Path, typer.Option(help="Folder with faces/ and faces.csv.")] = Path("data"),
    people: Annotated[int, typer.Option(min=1, help="People to show per split.")] = 16,
) -> None:
    """Draw a contact sheet."""
    from dfpg.data.faces.sheet import draw_sheet

    typer.echo(f"{out}: {draw_sheet(folder, out, people)} pictures")


# OpenMP threads that spin for long while they wait make training ten times slower as soon as
# something else runs on the machine; this short wait costs nothing when nothing does.
OPENMP_SPIN = "20000"


def main() -> None:
    """Entry point: a :class:`UserError` becomes one line on stderr and its exit code."""
    os.environ.setdefault("GOMP_SPINCOUNT", OPENMP_SPIN)  # read when torch is imported
    try:
        app()
    except UserError as error:
        print(f"dfpg: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
