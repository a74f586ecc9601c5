"""The commands that use a trained method on one's own photographs; they import late."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfpg.core.errors import UserError
from dfpg.core.terminal import say

photographs = typer.Typer()


@photographs.command()
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
    run: Annotated[
        str | None, typer.Option(help="A trained run by its name, or `shipped`.")
    ] = None,
    only_center: Annotated[
        bool, typer.Option("--only-center", help="Only the face nearest to the middle.")
    ] = False,
    save_crops: Annotated[
        Path | None, typer.Option(help="Folder for every face, upright, before and after.")
    ] = None,
    strength: Annotated[
        float, typer.Option(help="Share of the change that is made, 0 to 1.")
    ] = 1.0,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Restore also faces that the model hardly changes.")
    ] = False,
    scale: Annotated[int, typer.Option(help="Only 1: photographs are not enlarged.")] = 1,
) -> None:
    """Restore the faces of photographs; exit code 1 if some photographs were left out."""
    from dfpg.commands.deblur.command import Options
    from dfpg.commands.deblur.command import deblur as restore
    from dfpg.commands.trained import trained_weights

    if scale != 1:
        raise UserError(
            f"--scale {scale}: photographs are not enlarged: the methods take blur off and keep "
            "the size; enlarge with another program afterwards"
        )
    if run is not None and weights is not None:
        raise UserError("--run and --weights: give one of them")
    choices = Options(
        weights=weights if run is None else trained_weights(run),
        device=device,
        aligned=aligned,
        copy=copy,
        png=png,
        strip=strip,
        force=force,
        only_center=only_center,
        crops=save_crops,
        strength=strength,
        check=not no_check,
    )
    outcome = restore(source, out, choices)
    say(outcome.text)
    raise typer.Exit(0 if outcome.complete else 1)


@photographs.command("export-onnx")
def export_onnx(
    run: Annotated[str, typer.Argument(help="A trained run's name, `shipped`, or its weights.")],
    out: Annotated[Path, typer.Argument(help="File to write, ending in .onnx.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a trained method as ONNX, and say how far onnxruntime is from PyTorch."""
    from dfpg.commands.export_onnx import export_onnx as export
    from dfpg.commands.trained import trained_weights

    say(export(trained_weights(run), out, force))


@photographs.command()
def demo(
    port: Annotated[int, typer.Option(help="Port of 127.0.0.1.", min=1024, max=65535)] = 7860,
    run: Annotated[str, typer.Option(help="A trained run by its name, or `shipped`.")] = "shipped",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or mps.")] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the page in the browser.")
    ] = False,
) -> None:
    """Serve a page, on this machine only, that deblurs a photograph dropped on it."""
    from dfpg.commands.deblur.command import Options
    from dfpg.commands.demo import demo as serve
    from dfpg.commands.trained import trained_weights

    serve(port, Options(weights=trained_weights(run), device=device), not no_browser)
