"""``dfpg faces`` and ``dfpg data``: sources of sharp faces; imports late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfpg.commands.outputs import new_png
from dfpg.core.terminal import say

faces_app = typer.Typer(help="Sources of sharp faces.", no_args_is_help=True)
data_app = typer.Typer(help="Your own photographs.", no_args_is_help=True)


@faces_app.command("prepare")
def faces_prepare() -> None:
    """Frame, split and pack the photographs of your own sources (stage `faces`)."""
    from dfpg.stages.faces import faces

    say(faces())


@data_app.command("check")
def data_check() -> None:
    """Say which photographs are at hand and what they fill; exit code 1 if some are lacking."""
    from dfpg.core.config import load_config
    from dfpg.data.faces.check import check_data

    text, complete = check_data(load_config())
    say(text)
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
    say(f"{out}: {people} people kept, {dropped.total()} dropped {dict(dropped)}")


@faces_app.command("sheet")
def faces_sheet(
    out: Annotated[Path, typer.Option(callback=new_png, help="PNG file to write.")],
    folder: Annotated[Path, typer.Option(help="Folder with faces/ and faces.csv.")] = Path("data"),
    people: Annotated[int, typer.Option(min=1, help="People to show per split.")] = 16,
) -> None:
    """Draw a contact sheet."""
    from dfpg.data.faces.sheet import draw_sheet

    say(f"{out}: {draw_sheet(folder, out, people)} pictures")
